"""Deletion of many or large rows in several short transactions, because a transaction on SQLite blocks all other writers.

A batch is limited by rows and by bytes. Its rows are chosen before its transaction.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import connection

MAX_ROWS = 2_000
"""Largest number of rows of a batch."""

MAX_BYTES = 16 * 2**20
"""Largest number of bytes of a batch. A larger row is a batch of its own."""

PAUSE = 0.05
"""Seconds between two batches, in which others can write."""


def first_batch(rows: Iterable[tuple[Any, int]]) -> tuple[list[Any], bool]:
    """Choose the rows of the first batch.

    Parameters
    ----------
    rows
        Identifier and bytes of each row. It is read up to the first row that doesn't fit.

    Returns
    -------
    chosen, more
        The identifiers of the chosen rows, and whether more rows follow.
    """
    chosen: list[Any] = []
    total = 0
    for identifier, size in rows:
        total += size
        if chosen and (total > MAX_BYTES or len(chosen) >= MAX_ROWS):
            return chosen, True
        chosen.append(identifier)
    return chosen, False


def delete_in_batches(query: str, parameters: Sequence[Any], delete: Callable[[list[int]], int]) -> int:
    """Delete rows batch by batch, until none is left.

    Parameters
    ----------
    query, parameters
        A SELECT of the number and the bytes of each row, without LIMIT. It must not find deleted rows.
    delete
        Deletes the rows with these numbers in its own transaction, and returns how many of them still existed.

    Returns
    -------
    int
        The number of deleted rows.
    """
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(f"{query} LIMIT %s", (*parameters, MAX_ROWS + 1))
            chosen, more = first_batch(cursor)
        if chosen:
            total += delete(chosen)
        if not more:
            return total
        time.sleep(PAUSE)


def in_list(column: str, numbers: Sequence[int]) -> str:
    """Return the SQL condition that a column is one of several values, which are given as parameters."""
    return f"{column} IN ({', '.join(['%s'] * len(numbers))})"
