"""What runs where LAMMPS runs: inputs, a log parser, job scripts, an epilogue that reports, and the demo.

Everything here talks to the server over HTTP alone.
"""
