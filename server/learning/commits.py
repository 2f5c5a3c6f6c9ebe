"""SQLite, which has one writer: what several requests of all streams have to store shares a commit, and one flush of the disk.

If a shared commit fails, each part is stored alone, so that one's fault is its own.
"""

from collections.abc import Sequence
from typing import Protocol

from server.learning.combining import Combiner, Item
from server.learning.replica import FATAL
from server.streams import instruments, locks

MOST_POINTS_IN_GROUP = 5_000

_requests, _observations = instruments.commit_requests.of(), instruments.commit_observations.of()
_learned = instruments.observations.of()


class Part(Item, Protocol):
    """What is to be stored for one thread."""

    done: bool
    error: BaseException | None

    @property
    def requests(self) -> int:
        """How many requests learn with it."""

    @property
    def observations(self) -> int:
        """How many these have."""

    def store(self, *, last: bool) -> None:
        """Store it, within a transaction; ``last``: nothing follows. It may be repeated after a rollback."""

    def committed(self) -> None:
        """Count that it is stored."""


def submit(part: Part) -> None:
    """Return when it is stored, with those of others.

    Raises
    ------
    Exception
        What kept it from being stored.
    """
    _shared.submit(part)
    if part.error is not None:
        raise part.error


def count(parts: Sequence[Part]) -> None:
    """Count what one commit stored."""
    for part in parts:
        part.committed()
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
