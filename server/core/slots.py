"""Slots for requests that take long or hold much memory: so many in a process, and so many of each caller."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.core.errors import TooMany, Unavailable


@dataclass(eq=False)
class Slots:
    """The slots of this process for one kind of request.

    Parameters
    ----------
    limits
        Returns the slots of this process, and those of one caller in it.
    process_full, caller_full
        Messages; ``{limit}`` is the limit that is reached.
    retry_after
        Seconds after which a caller may try again where the process has no slot.

    Attributes
    ----------
    by_caller
        The slots taken, by the caller's key (:func:`server.accounts.limits.key`); None for callers who are not asked
        who they are, and who have the limit of the process alone.
    """

    limits: Callable[[], tuple[int, int]]
    process_full: str
    caller_full: str
    retry_after: int = 1
    by_caller: Counter[int | None] = field(default_factory=Counter)
    _lock: threading.RLock = field(default_factory=threading.RLock)  # garbage collection may release a slot within it

    def take(self, key: int | None) -> None:
        """Take a slot.

        Raises
        ------
        TooMany, Unavailable
            If the caller, or all callers of this process together, have as many as they may.
        """
        limit, limit_of_caller = self.limits()
        with self._lock:
            if key is not None and self.by_caller[key] >= limit_of_caller:
                raise TooMany(self.caller_full.format(limit=limit_of_caller), retry_after=5)
            if self.by_caller.total() >= limit:
                raise Unavailable(self.process_full.format(limit=limit), retry_after=self.retry_after)
            self.by_caller[key] += 1

    def release(self, key: int | None) -> None:
        with self._lock:
            self.by_caller[key] -= 1
            if not self.by_caller[key]:
                del self.by_caller[key]

    @contextmanager
    def held(self, key: int | None) -> Iterator[None]:
        """Hold a slot meanwhile. Raises as :meth:`take`."""
        self.take(key)
        try:
            yield
        finally:
            self.release(key)
