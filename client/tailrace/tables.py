"""Tables and panels that show themselves: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NOTHING", "Column", "Table", "escaped", "panel", "shown"]

NOTHING = "–"
MOST_ROWS = 60
WIDEST = 100


def shown(value: Any) -> str:
    """A value as a table shows it: numbers in four digits, nothing as a dash.

    Examples
    --------
    >>> shown(83.24159), shown(12), shown(0.00012345), shown(123456.7), shown(None)
    ('83.24', '12', '0.0001234', '123457', '–')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(item)}" for key, item in value.items()) or NOTHING
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or NOTHING
    return str(value)


def escaped(value: Any) -> str:
    """A value as HTML shows it; whatever a name holds, it stays text."""
    from html import escape

    return escape(shown(value))


@dataclass(frozen=True)
class Column:
    """The head of one column.

    Parameters
    ----------
    name
        What it holds.
    unit
        Of its numbers; empty where they have none.
    left
        Whether its cells are words, which stand on the left.
    """

    name: str
    unit: str = ""
    left: bool = False

    @property
    def head(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Table:
    """Rows under headed columns.

    Parameters
    ----------
    columns
        The heads.
    rows
        One cell a column each; of long tables the first and last are shown.
    caption
        What it is, in a line.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    def text(self, most: int | None = MOST_ROWS) -> str:
        """The table for a terminal, with at most so many rows; None for all."""
        rows = [None if row is None else [_clipped(shown(cell)) for cell in row] for row in self._some(most)]
        heads = [column.head for column in self.columns]
        widths = [
            max([len(head), *(len(row[index]) for row in rows if row is not None)]) for index, head in enumerate(heads)
        ]
        lines = [self.caption] if self.caption else []
        lines.append(self._line(heads, widths))
        lines += [self._line(["…"] * len(heads) if row is None else row, widths) for row in rows]
        return "\n".join(lines)

    def html(self, most: int = MOST_ROWS) -> str:
        """The table for a notebook, in the notebook's own style."""
        heads = self._cells("th", [column.head for column in self.columns])
        lines = (
            [f"<caption style='text-align:left;white-space:nowrap'>{escaped(self.caption)}</caption>"]
            if self.caption
            else []
        )
        lines.append(f"<thead><tr>{heads}</tr></thead><tbody>")
        for row in self._some(most):
            cells = ["…"] * len(self.columns) if row is None else row
            lines.append(f"<tr>{self._cells('td', cells)}</tr>")
        return f"<table>{''.join(lines)}</tbody></table>"

    def _some(self, most: int | None) -> list[Sequence[Any] | None]:
        if most is None or len(self.rows) <= most:
            return list(self.rows)
        half = most // 2
        return [*self.rows[:half], None, *self.rows[len(self.rows) - half :]]

    def _line(self, cells: Iterable[str], widths: Sequence[int]) -> str:
        aligned = (
            cell.ljust(widths[index]) if self.columns[index].left else cell.rjust(widths[index])
            for index, cell in enumerate(cells)
        )
        return "  ".join(aligned).rstrip()

    def _cells(self, tag: str, cells: Sequence[Any]) -> str:
        return "".join(
            f"<{tag} style='text-align:{'left' if self.columns[index].left else 'right'}'>{escaped(cell)}</{tag}>"
            for index, cell in enumerate(cells)
        )


def panel(title: str, lines: Iterable[tuple[str, Any]], below: str = "") -> str:
    """HTML of a titled list of facts, with more HTML below."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escaped(name)}</th><td style="text-align:left">{escaped(value)}</td></tr>'
        for name, value in lines
    )
    return f"<div><strong>{escaped(title)}</strong><table><tbody>{rows}</tbody></table>{below}</div>"


def _clipped(text: str) -> str:
    if not text.isprintable():
        # A control character would steer the terminal.
        text = "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
