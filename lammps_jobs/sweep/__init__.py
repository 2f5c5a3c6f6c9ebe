"""Sweeps: many LAMMPS jobs over ranges of sizes, whose results models learn, or are put to the test with."""
