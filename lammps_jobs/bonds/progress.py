"""A bar for work that takes more than a moment, where there is a terminal; plain lines where there is none."""

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
    """What advances a bar, and what is said above it. Made by `bar`."""

    def __init__(self, progress: Progress, task: TaskID, console: Console) -> None:
        self._progress, self._task, self._console = progress, task, console
        self._done = 0.0

    def doing(self, what: str) -> None:
        """Say what is worked at now."""
        self._progress.update(self._task, description=what)

    def advance(self, by: float = 1) -> None:
        """Count what is done."""
        self._done += by
        self.within(0)

    def within(self, so_far: float) -> None:
        """Show how much of what comes next is done, before `advance` counts it."""
        self._progress.update(self._task, completed=self._done + so_far)

    def note(self, line: str) -> None:
        """Print a line that stays: what was done, or why something was not."""
        self._console.print(Text(line), soft_wrap=True)


@contextmanager
def bar(what: str, total: float, unit: str) -> Iterator[Bar]:
    """A bar on standard error, gone when it is done.

    Parameters
    ----------
    what
        What is worked at.
    total
        How much there is to do.
    unit
        Of what is counted, such as ``cells``.
    """
    console = Console(stderr=True, highlight=False)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(),
        TextColumn(unit), TimeElapsedColumn(), TextColumn("· left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task(what, total=total), console)
