"""Limits and words that tables of tracking share."""

ACTIVE, DELETED = LIFECYCLES = ("active", "deleted")
LONGEST_NAME, LONGEST_KEY, LONGEST_VALUE = 500, 250, 8_000
"""Most characters of names, of keys of params, tags and metrics, and of values of params and tags: those of MLflow."""


def choices(*values: str) -> list[tuple[str, str]]:
    """Return values as the choices of a field."""
    return [(value, value) for value in values]
