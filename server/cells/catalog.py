"""Looking at the cells of a stream."""

from typing import Any

from server.cells.models import Cell
from server.streams.codec import loads
from server.streams.errors import NotFound
from server.streams.models import Stream
from server.streams.validation import shown


def find(stream: Stream, name: Any) -> Cell:
    """The cell of that name.

    Raises
    ------
    NotFound
        If the stream has none.
    """
    known = isinstance(name, str) and "\x00" not in name
    found = Cell.objects.filter(stream=stream, name=name).first() if known else None
    if found is None:
        raise NotFound(f"stream {stream.name} has no cell named {shown(name)}", field="cell")
    return found


def page(
    stream: Stream, *, composition: str | None, status: str | None, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """At most ``limit`` cells by name, from the first after ``after``, and the ``after`` of the next page (None: no more)."""
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
    """A cell as a list shows it."""
    said: dict[str, Any] = {
        "name": cell.name,
        "stream": stream.name,
        "status": cell.status,
        "composition": cell.composition,
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
    """A cell with all that is kept of it."""
    return summary(cell, stream) | {
        "structure": cell.structure,
        "provenance": loads(cell.provenance),
        "checksums": loads(cell.checksums),
    }


def counts(cell: Cell) -> dict[str, int]:
    """How many of its observations are of which type."""
    if cell.types is None:
        return {}
    types = loads(cell.types)
    found = dict.fromkeys(types["names"], 0)
    for place in types["of"]:
        found[types["names"][place]] += 1
    return found
