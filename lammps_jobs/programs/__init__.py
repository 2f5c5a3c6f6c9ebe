"""Programs of calculations that an agent can run, one module each (`tailrace.programs`)."""
