"""Parsers for LAMMPS logs."""
