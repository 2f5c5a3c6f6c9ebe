"""The threads of this process that wait for a stream's models, so that busy streams leave some to others."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from server.streams.errors import Unavailable

PATIENCE = 0.5
"""Seconds that a thread waits before it asks whether it may wait on, and that the first of many may have waited."""


_slow: dict[int, "Waiters"] = {}
"""The threads that are at streams whose models take long, and at which."""
_deciding = threading.Lock()


class Waiters:
    """Who waits for one stream, and since when, the first to come first.

    Parameters
    ----------
    most
        How many may wait for as long as it takes, for this stream and for all that are slow.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._since: dict[int, float] = {}
        """By thread, as :func:`time.monotonic` tells it."""
        self._is_long = False
        """Whether somebody has waited for long, and many have waited ever since."""
        self.is_slow = False
        """Whether the last turn took long."""

    @contextmanager
    def at_a_slow_one(self) -> Iterator[None]:
        """Be among those who are at streams that are slow. Each of these has one, however many the others have.

        Raises
        ------
        Unavailable
            If there are many already.
        """
        thread = threading.get_ident()
        with _deciding:
            streams = list(_slow.values())
            if len(streams) >= self.most and (self in streams or len(set(streams)) >= self.most):
                raise Unavailable(
                    f"the stream's models take long, and {len(streams)} requests wait for such models already; try again"
                )
            _slow[thread] = self
        try:
            yield
        finally:
            _slow.pop(thread, None)

    def enter(self) -> None:
        """Join them.

        Raises
        ------
        Unavailable
            If many wait, and have for long.
        """
        if self._is_long:
            self._check(len(self._since))
        self._since[threading.get_ident()] = time.monotonic()

    def check(self) -> None:
        """See whether the calling thread, which is one of them and has waited for :data:`PATIENCE`, may wait on.

        Raises
        ------
        Unavailable
            If many others wait.
        """
        self._is_long = self.is_slow = True
        with _deciding:  # so that no more leave than have to
            _slow[threading.get_ident()] = self
            try:
                self._check(len(self._since) - 1)
                if len(_slow) > self.most:
                    raise Unavailable(f"{len(_slow)} requests wait for models that take long; try again")
            except Unavailable:
                self.leave()
                raise

    def leave(self) -> None:
        """Wait no longer."""
        thread = threading.get_ident()
        self._since.pop(thread, None)
        _slow.pop(thread, None)

    def _check(self, others: int) -> None:
        first = next(iter(self._since.copy().values()), None)
        seconds = 0.0 if first is None else time.monotonic() - first
        if seconds < PATIENCE:
            self._is_long = False
        elif others >= self.most:
            raise Unavailable(
                f"{others} requests wait for the stream's models already, the first for {seconds:.1f} s; try again"
            )
