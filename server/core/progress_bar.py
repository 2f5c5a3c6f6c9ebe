"""Progress bar of a command, on a terminal only."""

import sys
import time

PATIENCE = 2.0
"""Seconds before the bar is shown."""

PAUSE = 0.2
WIDTH = 30


class Bar:
    """A progress bar on standard error, if that is a terminal. Call it to update it. As a context it is removed at the end.

    Parameters
    ----------
    unit
        Name of what is counted.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._started = self._shown = time.monotonic()
        self._is_on_terminal = sys.stderr.isatty()
        self._wide = 0

    def __call__(self, done: int, total: int = 0) -> None:
        """Show that ``done`` of ``total`` are done (0: the total is unknown)."""
        now = time.monotonic()
        if not self._is_on_terminal or now - self._started < PATIENCE or now - self._shown < PAUSE:
            return
        self._shown = now
        line = f"{done:,} {self._unit}"
        if total:
            full = min(WIDTH, WIDTH * done // total)
            line = f"[{'█' * full}{' ' * (WIDTH - full)}] {min(100, 100 * done // total)} %, {done:,} of {total:,} {self._unit}"
        self._show(f"{line}, {now - self._started:.0f} s")

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._wide:
            self._show("")
            sys.stderr.write("\r")

    def _show(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self._wide))
        sys.stderr.flush()
        self._wide = len(line)
