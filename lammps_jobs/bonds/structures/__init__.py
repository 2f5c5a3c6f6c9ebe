"""Structures: read and write files, find neighbours, cut large cells into pieces."""
