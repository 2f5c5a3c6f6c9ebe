"""Flat combining: threads that want the same kind of work wait together, and one of them does it for all."""

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from server.learning.waiters import PATIENCE, Waiters
from server.streams.errors import Unavailable


class Item(Protocol):
    """What one thread wants done."""

    turn: Any
    """A lock that is held from the beginning (:func:`held`); released when the item is done, or its thread leads the next group."""

    @property
    def done(self) -> bool: ...

    @property
    def size(self) -> int:
        """How many points, or :data:`PAGE` bytes of what is to be stored, whichever are more."""

    @property
    def withdrawn(self) -> bool: ...

    def withdraw(self) -> bool:
        """Take it back, if nobody has begun with it; whether it is taken back."""


PAGE = 4096
"""Bytes of what is to be stored that count as much as a point."""
LARGE = 1024
"""Of an item's size: with another as large, it would keep small ones waiting."""

T = TypeVar("T", bound=Item)


def held() -> Any:
    """A lock that is held."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Combiner(Generic[T]):
    """Where items wait, and which thread works next.

    The first to come works. When it is through, it wakes the first that waits, which works for the next group at once, and
    only then those whose items it has done: so the next group is on its way while they answer.

    Parameters
    ----------
    work
        Does the items of a group. Those that it returns are left for the next group; never the first.
    most
        Largest size of a group, unless its first item alone is larger. One :data:`LARGE` item at most is in a group: those that came
        behind it wait for the next.
    """

    def __init__(self, work: Callable[[list[T]], list[T]], most: int) -> None:
        self._work = work
        self._most = most
        self._mutex = threading.Lock()
        self._waiting: list[T] = []
        self._heir: T | None = None
        self._busy = False

    @property
    def is_busy(self) -> bool:
        """Whether somebody works, or waits."""
        return self._busy

    def submit(self, item: T, waiters: Waiters | None = None) -> None:
        """Return when the item is done, by this thread or another.

        Parameters
        ----------
        item
            What is to be done.
        waiters
            Whom to join if it is to wait. When they have no room, the item is not done.

        Raises
        ------
        Unavailable
            If there is no room to wait.
        """
        with self._mutex:
            leads = not self._busy
            if not leads and waiters is not None:
                waiters.enter()
            self._waiting.append(item)
            self._busy = True
        if leads:
            self._lead(item)
        elif waiters is None:
            item.turn.acquire()
            if not item.done:
                self._lead(item)
        else:
            try:
                while not item.turn.acquire(timeout=PATIENCE):
                    self._leave_unless(item, waiters)
                if not item.done:
                    self._lead(item)
            finally:
                waiters.leave()

    def _lead(self, item: T) -> None:
        """Work for the next group, which the item is part of."""
        group: list[T] = []
        left: list[T] = []
        try:
            with self._mutex:
                group = self._take()
            left = self._work(group)
        finally:
            with self._mutex:
                self._waiting[:0] = [other for other in left if not other.withdrawn]
                self._heir = self._waiting[0] if self._waiting else None
                self._busy = self._heir is not None
                heir = self._heir
            if heir is not None:
                heir.turn.release()
            for other in group:
                if other is not item and other not in left:
                    other.turn.release()

    def _leave_unless(self, item: T, waiters: Waiters) -> None:
        """Take an item out if there is no room to wait, but for one whose turn it is to lead, or that is being worked at."""
        with self._mutex:
            if item is self._heir:
                return
            try:
                waiters.check(item.withdraw)
            except Unavailable:
                if item in self._waiting:
                    self._waiting.remove(item)
                raise

    def _take(self) -> list[T]:
        self._heir = None
        size, has_large = 0, False
        taken: list[T] = []
        left: list[T] = []
        for item in self._waiting:
            own = item.size
            if taken and (size + own > self._most or (own >= LARGE and has_large)):
                left.append(item)
                continue
            has_large = has_large or own >= LARGE
            size += own
            taken.append(item)
        self._waiting = left
        return taken
