"""The demo: real LAMMPS jobs report their run times, and four models learn from them."""
