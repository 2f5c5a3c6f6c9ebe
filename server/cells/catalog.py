"""Reading the cells of a stream."""

from typing import Any

from server.cells.models import Cell
from server.core.db.find_by_name import find_by_name
from server.core.json_codec import loads
from server.streams.models import Stream


def find(stream: Stream, name: Any) -> Cell:
    """Return the cell with this name.

    Raises
    ------
    NotFound
        If the stream has none.
    """
    missing = f"stream {stream.name} has no cell named {{name}}"
    return find_by_name(Cell.objects.filter(stream=stream), name, missing, field="cell")


def page(
    stream: Stream, *, composition: str | None, status: str | None, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return at most ``limit`` cells, sorted by name, after ``after``; and ``after`` of the next page (None: no more)."""
    found = Cell.objects.filter(stream=stream).defer("structure", "provenance", "checksums").order_by("name")
    if composition is not None:
        found = found.filter(composition=composition)
    if status is not None:
        found = found.filter(status=status)
    if after is not None:
        found = found.filter(name__gt=after)
    some = list(found[: limit + 1])
    more = some[limit - 1].name if len(some) > limit else None
    return [summary(cell, stream) for cell in some[:limit]], more


def summary(cell: Cell, stream: Stream) -> dict[str, Any]:
    """Return a cell as lists show it."""
    said: dict[str, Any] = {
        "name": cell.name,
        "stream": stream.name,
        "status": cell.status,
        "composition": cell.composition,
        "family": cell.family or cell.name,
        "descriptor": stream.descriptor,
        "first": cell.first,
        "last": cell.last,
        "types": counts(cell),
        "fingerprint": cell.fingerprint,
        "created_at": cell.created_at,
        "created_by": cell.created_by,
    }
    return said | ({"reason": cell.reason} if cell.status == Cell.FAILED else {})


def described(cell: Cell, stream: Stream) -> dict[str, Any]:
    """Return a cell with all stored data."""
    return summary(cell, stream) | {
        "structure": cell.structure,
        "provenance": loads(cell.provenance),
        "checksums": loads(cell.checksums),
    }


def counts(cell: Cell) -> dict[str, int]:
    """Return bond type to number of the cell's observations."""
    if cell.types is None:
        return {}
    types = loads(cell.types)
    found = dict.fromkeys(types["names"], 0)
    for place in types["of"]:
        found[types["names"][place]] += 1
    return found
