"""The subcommands of the tailrace command, one module each. The docstring of a module is its help."""
