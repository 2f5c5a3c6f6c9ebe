"""What cells count for in the quotas of those who posted them."""

from collections.abc import Iterable

from django.db import connection

from server.cells.models import Cell
from server.streams.models import Stream
from server.streams.quota_usage import Freed
from server.streams.quotas import CELL_BYTES, CELLS

_PARTS = ("structure", "provenance", "checksums", "types", "reason")


def of_cell(cell: Cell) -> dict[str, int]:
    """What a cell counts for. Its observations are the log's, and count for nobody."""
    return {CELLS: 1, CELL_BYTES: sum(len((getattr(cell, part) or "").encode()) for part in _PARTS)}


def freed(cells: Iterable[Cell]) -> list[Freed]:
    """What counts no longer once these are deleted."""
    return [Freed(cell.owner_id, cell.token_id, *count) for cell in cells for count in of_cell(cell).items()]


def of_stream(stream: Stream) -> list[Freed]:
    """What counts no longer once a stream goes with its cells."""
    return freed(Cell.objects.select_for_update().filter(stream=stream).order_by("pk").iterator(chunk_size=100))


def counted() -> list[tuple[str, str]]:
    """Quotas, and the query that counts each anew: user, token and amount."""
    size = {"sqlite": "LENGTH(CAST(COALESCE({}, '') AS BLOB))", "postgresql": "octet_length(COALESCE({}, ''))"}
    sizes = " + ".join(size[connection.vendor].format(part) for part in _PARTS)
    query = "SELECT owner_id, token_id, {} FROM cells_cell WHERE owner_id IS NOT NULL GROUP BY owner_id, token_id"
    return [(CELLS, query.format("COUNT(*)")), (CELL_BYTES, query.format(f"SUM({sizes})"))]
