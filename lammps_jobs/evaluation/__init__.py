"""Errors of predicted run times, as numbers and pictures."""
