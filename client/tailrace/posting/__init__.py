"""Posting observations: one, or many from a file or a DataFrame."""
