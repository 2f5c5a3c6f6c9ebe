"""`Facts` and `Listing`: the server's description of one resource or of several, displayed as a panel or a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from tailrace.display.tables import Table, format_value, panel

__all__ = ["Facts", "Listing", "created_text"]


class Facts(Mapping[str, Any]):
    """The server's description of a resource: a mapping, shown as a panel.

    Parameters
    ----------
    title
        Title of the panel.
    data
        The server's response.
    lines
        Names and values that the panel shows.
    """

    def __init__(self, title: str, data: Mapping[str, Any], lines: Sequence[tuple[str, Any]]) -> None:
        self.title = title
        self.data = data
        self._lines = lines

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        width = max((len(name) for name, _ in self._lines), default=0)
        return "\n".join(
            [self.title, *(f"  {name.ljust(width)}  {format_value(value)}" for name, value in self._lines)]
        )

    def _repr_html_(self) -> str:
        return panel(self.title, self._lines)


class Listing(Sequence[Mapping[str, Any]]):
    """A list of resources or observations from the server, shown as a table."""

    def __init__(self, data: Sequence[Mapping[str, Any]], table: Table) -> None:
        self.data = data
        self.table = table

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.data[index]

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()


def created_text(data: Mapping[str, Any]) -> str:
    """Returns a text with the time of a resource's creation, and its creator if known."""
    by = f" by {data['created_by']}" if data["created_by"] else ""
    return f"{data['created_at'][:16].replace('T', ' ')} UTC{by}"
