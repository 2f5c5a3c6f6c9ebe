"""Pace of the requests to a target."""

import threading
import time


class Pace:
    """Lets at most so many requests a second begin.

    Parameters
    ----------
    rate
        Requests a second; 0: as many as there are.
    stopping
        Set when the process has to stop. Then nothing waits.
    """

    def __init__(self, rate: float, stopping: threading.Event) -> None:
        self._spacing = 1 / rate if rate > 0 else 0.0
        self._next = 0.0
        self._stopping = stopping

    def wait(self) -> None:
        """Wait for the turn of the next request."""
        now = time.monotonic()
        if self._next > now:
            self._stopping.wait(self._next - now)
        self._next = max(now, self._next) + self._spacing
