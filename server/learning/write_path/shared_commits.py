"""Shared commits on SQLite: requests of all streams share one transaction, and so one flush of the disk.

SQLite has one writer. If a shared commit fails, each part is committed alone, so that an error affects its own part only.
"""

from collections.abc import Sequence
from typing import Protocol

from server.core.db import locks
from server.core.metrics import declarations
from server.learning.concurrency.combiner import Combiner, Item
from server.learning.fold.estimator_errors import FATAL

MOST_POINTS_IN_GROUP = 5_000

_requests, _observations = declarations.commit_requests.labels(), declarations.commit_observations.labels()
_learned = declarations.observations.labels()


class Part(Item, Protocol):
    """The data that one thread stores."""

    done: bool
    error: BaseException | None

    @property
    def requests(self) -> int:
        """The number of learn requests in it."""

    @property
    def observations(self) -> int:
        """The number of their observations."""

    def store(self, *, last: bool) -> None:
        """Store it within a transaction. ``last``: no statement follows. It may be repeated after a rollback."""

    def on_commit(self) -> None:
        """Update metrics after the commit."""


def submit(part: Part) -> None:
    """Store a part together with those of other threads. Return when it is committed.

    Raises
    ------
    Exception
        The error of the commit.
    """
    _shared.submit(part)
    if part.error is not None:
        raise part.error


def count(parts: Sequence[Part]) -> None:
    """Update the metrics of commits after one commit."""
    for part in parts:
        part.on_commit()
    requests = sum(part.requests for part in parts)
    if requests:
        observations = sum(part.observations for part in parts)
        _requests.observe(requests)
        _observations.observe(observations)
        _learned.add(observations)


def _commit(parts: list[Part]) -> list[Part]:
    try:
        with locks.transaction_for_writing():
            for part in parts:
                part.store(last=False)
    except BaseException as exc:
        if len(parts) > 1 and not isinstance(exc, FATAL):
            for part in parts:
                _commit([part])
            return []
        for part in parts:
            part.error, part.done = exc, True
        if isinstance(exc, FATAL):
            raise
    else:
        for part in parts:
            part.done = True
        count(parts)
    return []


_shared: Combiner[Part] = Combiner(_commit, MOST_POINTS_IN_GROUP)
