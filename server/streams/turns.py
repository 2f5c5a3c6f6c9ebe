"""Many or large rows, deleted in several short transactions: on SQLite nobody else writes during one.

A turn is limited by rows and by bytes, as either may take long. Which rows it takes is read before its transaction.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import connection

ROWS = 2_000
"""Most rows of a turn."""

BYTES = 16 * 2**20
"""Most bytes of a turn. A larger row has a turn of its own."""

PAUSE = 0.05
"""Seconds between two turns, in which others write."""


def first_of(rows: Iterable[tuple[Any, int]]) -> tuple[list[Any], bool]:
    """The rows of one turn.

    Parameters
    ----------
    rows
        Identifier and bytes of each; read no further than to the first one that is too many.

    Returns
    -------
    chosen, more
        The identifiers of the first rows, and whether there are others after them.
    """
    chosen: list[Any] = []
    total = 0
    for identifier, size in rows:
        total += size
        if chosen and (total > BYTES or len(chosen) >= ROWS):
            return chosen, True
        chosen.append(identifier)
    return chosen, False


def delete_in_turns(query: str, parameters: Sequence[Any], delete: Callable[[list[int]], int]) -> int:
    """Delete rows turn by turn, until there are none.

    Parameters
    ----------
    query, parameters
        A SELECT of the number and the bytes of each row, without a limit, which doesn't find a row that is deleted.
    delete
        Deletes the rows of these numbers in a transaction of its own; returns how many were still there.

    Returns
    -------
    int
        How many were deleted.
    """
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(f"{query} LIMIT %s", (*parameters, ROWS + 1))
            chosen, more = first_of(cursor)
        if chosen:
            total += delete(chosen)
        if not more:
            return total
        time.sleep(PAUSE)


def among(column: str, numbers: Sequence[int]) -> str:
    """The condition that a column is one of as many values, to be given as parameters."""
    return f"{column} IN ({', '.join(['%s'] * len(numbers))})"
