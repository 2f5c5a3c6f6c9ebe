"""Output of both demos: notes, errors, the server's address, tables of results."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["DemoScreen", "number", "result_table"]


class DemoScreen:
    """Prints to the terminal, or plain lines if there is none. Paths below `root` are shown relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._console = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)

    def path(self, path: Path) -> str:
        try:
            return str(path.relative_to(self._root))
        except ValueError:
            return str(path)

    def note(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def trouble(self, line: str) -> None:
        self._errors.print(Text(f"demo: {line}"), soft_wrap=True)

    def stopped(self) -> None:
        self._errors.print(
            Text("Stopped. Finished work is kept. Run the same command again to resume."), soft_wrap=True
        )

    def serving(self, url: str, taken: int | None, tokens: str = "") -> None:
        """Print the server's address.

        Parameters
        ----------
        url
            Its address.
        taken
            The preferred port, if that one is taken.
        tokens
            A remark about its tokens.
        """
        why = "" if taken is None else f" (port {taken} is taken)"
        self.note(f"The server listens on {url}/{why} and requires tokens{tokens}.")


def result_table(first: str, headings: Iterable[str]) -> Table:
    """Return an empty table of results: a column of names, then columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="")
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def number(value: float | None) -> str:
    """Return a number with three decimals; a dash if there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
