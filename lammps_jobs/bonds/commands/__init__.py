"""The subcommands of ``python -m lammps_jobs bonds``, one module each. `bonds.command` finds them by their names.

A module ``NAME.py`` here is the subcommand NAME. Its docstring is the help text. It defines

- ``SUMMARY``, one line for the list of subcommands;
- ``add_arguments(parser)``, which adds its arguments to an `argparse.ArgumentParser`;
- ``run(options)``, which runs it and returns the exit code. `bonds.command` prints a `BondsError`, an `OSError` and
  similar errors in one line.

Slow imports, such as ASE and tblite, belong into `run`, so that ``--help`` is fast.
"""
