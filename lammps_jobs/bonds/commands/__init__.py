"""The subcommands of ``python -m lammps_jobs bonds``, one a file, found by their names. See `bonds.command`.

A file ``NAME.py`` here is the subcommand NAME. It has

- ``SUMMARY``, one line for the list of subcommands;
- ``add_arguments(parser)``, which tells an `argparse.ArgumentParser` what it takes;
- ``run(options)``, which does it and returns the exit code. A `BondsError`, an `OSError` and the like are said in one line.

Its top imports only what is light; ASE, tblite and the like come in `run`, so that ``--help`` answers at once.
"""
