"""Generators of hostile input, bounded by time and repeatable by a seed."""
