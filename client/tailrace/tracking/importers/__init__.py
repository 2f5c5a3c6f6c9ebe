"""Importers: runs that other tools kept on disk, as lines of the spool."""
