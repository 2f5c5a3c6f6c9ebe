"""Policies: what to calculate next, given what is known. Pure functions of a situation, without a database."""
