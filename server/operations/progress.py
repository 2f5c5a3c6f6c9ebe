"""How far a command is, on a terminal alone, once it takes longer than people like to wait without a word."""

import sys
import time

PATIENCE = 2.0
"""Seconds before anything is shown."""

PAUSE = 0.2
WIDTH = 30


class Bar:
    """A line on standard error. Calling it moves it on.

    Parameters
    ----------
    unit
        What is counted.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._started = self._shown = time.monotonic()
        self._wide = 0

    @classmethod
    def on_terminal(cls, unit: str) -> "Bar | None":
        """None where nobody sees it."""
        return cls(unit) if sys.stderr.isatty() else None

    def __call__(self, done: int, total: int = 0) -> None:
        """Show that ``done`` are done, of ``total`` where that is known."""
        now = time.monotonic()
        if now - self._started < PATIENCE or now - self._shown < PAUSE:
            return
        self._shown = now
        line = f"{done:,} {self._unit}"
        if total:
            full = min(WIDTH, WIDTH * done // total)
            line = f"[{'█' * full}{' ' * (WIDTH - full)}] {min(100, 100 * done // total)} %, {done:,} of {total:,} {self._unit}"
        self._show(f"{line}, {now - self._started:.0f} s")

    def end(self) -> None:
        """Take it away."""
        if self._wide:
            self._show("")
            sys.stderr.write("\r")

    def _show(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self._wide))
        sys.stderr.flush()
        self._wide = len(line)
