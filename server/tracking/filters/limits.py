"""Limits of searches: how long one takes, and how many long ones are made at once. Their filters are the callers', and may cost anything."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings

from server.core.db.query_limit import QueryTooSlow, time_limit
from server.core.slots import Slots

T = TypeVar("T")

QUICK, SECONDS = 0.5, 10.0
"""Time from which a search is a long one, and longest time of one, s."""
ADVICE = (
    "search fewer experiments at once, use fewer conditions or columns of the order, or compare by = in place of LIKE"
)


def _limits() -> tuple[int, int]:
    most = max(2, settings.TAILRACE.working_threads // 4)
    return most, max(1, most // 2)


SEARCHING = Slots(
    _limits,
    process_full="this process makes {limit} long searches already, the most at once; try again",
    caller_full="this token or person has {limit} long searches under way in this process, the most allowed: "
    "wait until one has ended",
)
"""Requests that search for long. Most threads are left to other requests."""


def search(key: int | None, read: Callable[[], T]) -> T:
    """Return what ``read`` reads from the database. It is read again, in a slot, if that takes longer than :data:`QUICK`.

    Parameters
    ----------
    key
        The caller's (:class:`server.core.slots.Slots`).

    Raises
    ------
    TooMany, Unavailable
        If too many long searches are made at the same time: for this caller, or for all callers of this process.
    QueryTooSlow
        If it took longer than :data:`SECONDS`.
    """
    with contextlib.suppress(QueryTooSlow), time_limit(QUICK, ADVICE):
        return read()
    with SEARCHING.held(key), time_limit(SECONDS, ADVICE):
        return read()
