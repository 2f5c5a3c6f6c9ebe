"""Generation of cells: melt and quench in LAMMPS, and deformed copies."""
