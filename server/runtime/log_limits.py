"""Limit on log lines about refused requests, so that a client that is refused all the time does not fill the disk."""

import logging
import threading
import time

WINDOW = 10.0
"""Seconds."""
MOST = 300
"""Lines below WARNING that a process writes per window."""


class LimitedLines(logging.Filter):
    """Drops lines below WARNING beyond :data:`MOST` per :data:`WINDOW`, and then logs how many were dropped.

    It is a filter of one logger, and counts the lines of that logger only.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._began = 0.0
        self._lines = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the line is written."""
        if record.levelno >= logging.WARNING:
            return True
        now = time.monotonic()
        with self._lock:
            self._lines += 1
            if now - self._began < WINDOW:
                return self._lines <= MOST
            dropped, seconds = self._lines - 1 - MOST, now - self._began
            self._began, self._lines = now, 1
        if dropped > 0:
            logging.getLogger(record.name).warning(
                "%d lines about refused requests were not logged in the last %.0f s; the metrics count all requests",
                dropped, seconds,
            )  # fmt: skip
        return True
