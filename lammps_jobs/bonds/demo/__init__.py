"""The demo of bond strengths: from a melt in LAMMPS to the strength of every bond of a large glass."""
