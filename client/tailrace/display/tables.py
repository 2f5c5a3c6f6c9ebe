"""Tables and panels, as text for terminals and as HTML for notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NOTHING", "Column", "Table", "escape_html", "format_value", "panel"]

NOTHING = "–"
MOST_ROWS = 60
WIDEST = 100


def format_value(value: Any) -> str:
    """Returns a value as text: numbers with four significant digits, missing values as a dash.

    Examples
    --------
    >>> format_value(83.24159), format_value(12), format_value(0.00012345), format_value(123456.7), format_value(None)
    ('83.24', '12', '0.0001234', '123457', '–')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {format_value(item)}" for key, item in value.items()) or NOTHING
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(item) for item in value) or NOTHING
    return str(value)


def escape_html(value: Any) -> str:
    """Returns a value as text with HTML's special characters escaped."""
    from html import escape

    return escape(format_value(value))


@dataclass(frozen=True)
class Column:
    """The header of one column.

    Parameters
    ----------
    name
        Name of the column.
    unit
        Unit of its numbers. Empty if they have none.
    left
        Whether its cells are aligned left, as words are.
    """

    name: str
    unit: str = ""
    left: bool = False

    @property
    def head(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Table:
    """A table with headers.

    Parameters
    ----------
    columns
        The headers.
    rows
        Rows with one cell for each column. A long table shows only its first and last rows.
    caption
        Title of the table, in one line.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    def text(self, most: int | None = MOST_ROWS) -> str:
        """Returns the table as text with at most `most` rows. None: all rows."""
        rows = [None if row is None else [_clipped(format_value(cell)) for cell in row] for row in self._some(most)]
        heads = [column.head for column in self.columns]
        widths = [
            max([len(head), *(len(row[index]) for row in rows if row is not None)]) for index, head in enumerate(heads)
        ]
        lines = [self.caption] if self.caption else []
        lines.append(self._line(heads, widths))
        lines += [self._line(["…"] * len(heads) if row is None else row, widths) for row in rows]
        return "\n".join(lines)

    def html(self, most: int = MOST_ROWS) -> str:
        """Returns the table as HTML with at most `most` rows, in the notebook's own style."""
        heads = self._cells("th", [column.head for column in self.columns])
        lines = (
            [f"<caption style='text-align:left;white-space:nowrap'>{escape_html(self.caption)}</caption>"]
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
            f"<{tag} style='text-align:{'left' if self.columns[index].left else 'right'}'>{escape_html(cell)}</{tag}>"
            for index, cell in enumerate(cells)
        )


def panel(title: str, lines: Iterable[tuple[str, Any]], below: str = "") -> str:
    """Returns HTML with a title, a list of names and values, and `below`, which is HTML, too."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape_html(name)}</th><td style="text-align:left">{escape_html(value)}</td></tr>'
        for name, value in lines
    )
    return f"<div><strong>{escape_html(title)}</strong><table><tbody>{rows}</tbody></table>{below}</div>"


def _clipped(text: str) -> str:
    if not text.isprintable():
        # Control characters could change the terminal.
        text = "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
