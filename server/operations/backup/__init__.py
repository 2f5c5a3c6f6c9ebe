"""Backup of all data in one file, written while the server runs, and restored into an empty SQLite or PostgreSQL database.

``container``: the file format. ``tables``: which tables are included. ``values`` and ``numbering``: differences between
databases. ``making`` and ``restoring``: the two directions. ``files``: atomic creation and pruning of files.
"""
