"""Sweeps: run many LAMMPS jobs over ranges of sizes. Models learn the results, or predict them as a test."""
