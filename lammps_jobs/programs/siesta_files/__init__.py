"""Files of SIESTA: its input, its report, and the files of forces and trajectories."""
