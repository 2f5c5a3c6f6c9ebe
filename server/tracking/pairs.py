"""Tags and params of many things, read in few statements."""

from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import Model

PART = 500
"""Things of one statement; SQLite limits the number of parameters."""


def parts(numbers: Collection[int]) -> Iterator[list[int]]:
    """Yield numbers in parts that fit in one statement."""
    wanted = list(numbers)
    for first in range(0, len(wanted), PART):
        yield wanted[first : first + PART]


def of(
    table: type[Model], owner: str, numbers: Collection[int], key: str = "key", value: str = "value"
) -> dict[int, dict[str, Any]]:
    """Return the keys and values of things, by their ``pk``.

    Parameters
    ----------
    table
        A table of keys and values.
    owner
        The name of its foreign key to the things.
    numbers
        The ``pk`` of the things.
    key, value
        The names of its columns.
    """
    found: dict[int, dict[str, Any]] = {number: {} for number in numbers}
    for some in parts(found):
        rows = table._default_manager.filter(**{f"{owner}__in": some}).order_by("id")
        for number, name, one in rows.values_list(owner, key, value):
            found[number][name] = one
    return found
