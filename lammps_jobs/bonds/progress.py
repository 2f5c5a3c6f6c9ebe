"""Progress bar for long work; plain lines if there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)  # fmt: skip
from rich.text import Text

__all__ = ["Bar", "bar"]


class Bar:
    """A progress bar and the notes above it. Created by `bar`."""

    def __init__(self, progress: Progress, task: TaskID, console: Console) -> None:
        self._progress, self._task, self._console = progress, task, console
        self._done = 0.0

    def doing(self, what: str) -> None:
        """Show the current task."""
        self._progress.update(self._task, description=what)

    def advance(self, by: float = 1) -> None:
        """Advance the bar."""
        self._done += by
        self.within(0)

    def within(self, so_far: float) -> None:
        """Show progress within the current task, until `advance` counts it."""
        self._progress.update(self._task, completed=self._done + so_far)

    def note(self, line: str) -> None:
        """Print a line that stays on the screen."""
        self._console.print(Text(line), soft_wrap=True)


@contextmanager
def bar(what: str, total: float, unit: str) -> Iterator[Bar]:
    """Show a bar on standard error, and remove it at the end.

    Parameters
    ----------
    what
        Name of the task.
    total
        Amount of work.
    unit
        Unit of the amount, such as ``cells``.
    """
    console = Console(stderr=True, highlight=False)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(),
        TextColumn(unit), TimeElapsedColumn(), TextColumn("· left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task(what, total=total), console)
