"""`ProgressBar`: shows the progress of long work on standard error, if that is a terminal."""

from __future__ import annotations

import sys
import time

__all__ = ["ProgressBar"]

SHOW_AFTER = 2.0
"""Seconds after which a bar appears."""


class ProgressBar:
    """A line that is redrawn, and removed at the end.

    Parameters
    ----------
    total
        Number of items. None if it is unknown.
    """

    def __init__(self, total: int | None) -> None:
        self.total = total
        self._began = time.monotonic()
        self._shown = 0.0
        self._wanted = sys.stderr is not None and sys.stderr.isatty()

    def show(self, done: int) -> None:
        """Draw the bar for `done` items, at most five times per second."""
        now = time.monotonic()
        if not self._wanted or now - self._began < SHOW_AFTER or now - self._shown < 0.2:
            return
        self._shown = now
        if self.total is None:
            line = f"{done} in {now - self._began:.0f} s"
        else:
            filled = min(30, 30 * done // max(1, self.total))
            left = (now - self._began) * max(0, self.total - done) / max(1, done)
            line = f"[{'#' * filled}{'.' * (30 - filled)}] {done} of {self.total}, {left:.0f} s left"
        sys.stderr.write(f"\r{line} \x1b[K")
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the bar."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = 0.0
