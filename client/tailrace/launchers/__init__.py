"""Launchers: run a command on this machine, or submit it to Slurm, Flux, PBS or LSF, optionally in a container."""
