"""LAMMPS jobs: parameters, scripts, and processes."""
