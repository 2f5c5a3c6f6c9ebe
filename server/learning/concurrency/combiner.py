"""Flat combining: threads that want the same kind of work wait together, and one of them does it for all."""

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from server.core.errors import Unavailable
from server.learning.concurrency.waiting_threads import PATIENCE, WaitingThreads


class Item(Protocol):
    """A piece of work of one thread."""

    wakeup: Any
    """A lock that is created locked.

    It is released when the item is done, or when its thread must lead the next group.
    """

    @property
    def done(self) -> bool: ...

    @property
    def size(self) -> int:
        """The number of points, or the bytes to store divided by :data:`BYTES_PER_POINT`, whichever is larger."""

    @property
    def cancelled(self) -> bool: ...

    def cancel(self) -> bool:
        """Cancel the item unless work on it has begun. Return whether it is cancelled."""


BYTES_PER_POINT = 4096
"""Number of bytes to store that count as one point."""
LARGE = 1024
"""Size from which an item is large. A group has at most one large item, so that small ones don't wait long."""

T = TypeVar("T", bound=Item)


def held_lock() -> Any:
    """Return a new lock, locked."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Combiner(Generic[T]):
    """A queue of items, and the choice of the thread that works next.

    The first thread that arrives is the leader: it does the work of its group. Then it wakes the first waiting thread,
    which leads the next group, and after that the threads of its own group. So work on the next group begins before
    they answer their clients.

    Parameters
    ----------
    work
        Does the items of a group. It returns the items to leave for the next group, never the first one.
    most
        Largest size of a group, unless its first item alone is larger. A group has at most one item of :data:`LARGE` or more;
        further ones wait for the next group.
    """

    def __init__(self, work: Callable[[list[T]], list[T]], most: int) -> None:
        self._work = work
        self._most = most
        self._mutex = threading.Lock()
        self._waiting: list[T] = []
        self._next_leader: T | None = None
        self._busy = False

    @property
    def is_busy(self) -> bool:
        """Whether a thread works or waits."""
        return self._busy

    def submit(self, item: T, waiting: WaitingThreads | None = None) -> None:
        """Wait until the item is done, by this thread or another.

        Parameters
        ----------
        item
            The work.
        waiting
            The stream's waiting threads, which limit how many may wait.

        Raises
        ------
        Unavailable
            If too many threads wait. The item is not done.
        """
        with self._mutex:
            leads = not self._busy
            if not leads and waiting is not None:
                waiting.start()
            self._waiting.append(item)
            self._busy = True
        if leads:
            self._lead(item)
        elif waiting is None:
            item.wakeup.acquire()
            if not item.done:
                self._lead(item)
        else:
            try:
                while not item.wakeup.acquire(timeout=PATIENCE):
                    self._leave_if_crowded(item, waiting)
                if not item.done:
                    self._lead(item)
            finally:
                waiting.leave()

    def _lead(self, item: T) -> None:
        """Do the work of the next group, which the item belongs to."""
        group: list[T] = []
        left: list[T] = []
        try:
            with self._mutex:
                group = self._take()
            left = self._work(group)
        finally:
            with self._mutex:
                self._waiting[:0] = [other for other in left if not other.cancelled]
                self._next_leader = self._waiting[0] if self._waiting else None
                self._busy = self._next_leader is not None
                next_leader = self._next_leader
            if next_leader is not None:
                next_leader.wakeup.release()
            for other in group:
                if other is not item and other not in left:
                    other.wakeup.release()

    def _leave_if_crowded(self, item: T, waiting: WaitingThreads) -> None:
        """Remove an item if too many threads wait, unless its thread leads next or work on the item has begun."""
        with self._mutex:
            if item is self._next_leader:
                return
            try:
                waiting.check(item.cancel)
            except Unavailable:
                if item in self._waiting:
                    self._waiting.remove(item)
                raise

    def _take(self) -> list[T]:
        self._next_leader = None
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
