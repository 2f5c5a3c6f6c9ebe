"""Metric types of domains: what is measured, in which unit, and checks of it."""
