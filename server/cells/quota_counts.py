"""Quota usage of cells."""

from collections.abc import Iterable
from functools import reduce
from operator import add

from django.db import connection
from django.db.models.functions import Coalesce

from server.cells.models import Cell
from server.core.db.text_sizes import TextBytes
from server.streams.models import Stream
from server.streams.quotas.limits import CELL_BYTES, CELLS
from server.streams.quotas.quota_usage import Freed

PARTS = ("structure", "provenance", "checksums", "types", "reason")


def of_cell(cell: Cell) -> dict[str, int]:
    """Return what a cell counts for, by quota. Its observations count for no quota."""
    return {CELLS: 1, CELL_BYTES: sum(len((getattr(cell, part) or "").encode()) for part in PARTS)}


def freed(cells: Iterable[Cell]) -> list[Freed]:
    """Return the quota that is released when these cells are deleted."""
    return [Freed(cell.owner_id, cell.token_id, *count) for cell in cells for count in of_cell(cell).items()]


def of_stream(stream: Stream) -> list[Freed]:
    """Return the quota that is released when a stream is deleted with its cells. The caller has locked the stream."""
    size = reduce(add, (Coalesce(TextBytes(part), 0) for part in PARTS))
    # Summed in Python, because GROUP BY on SQLite copies every text before it measures it, which takes six times as long.
    sums: dict[tuple[int | None, int | None], list[int]] = {}
    for owner_id, token_id, total in Cell.objects.filter(stream=stream).values_list("owner_id", "token_id", size):
        sums.setdefault((owner_id, token_id), []).append(total)
    return [
        freed
        for whose, totals in sums.items()
        for freed in (Freed(*whose, CELLS, len(totals)), Freed(*whose, CELL_BYTES, sum(totals)))
    ]


def usage_queries() -> list[tuple[str, str]]:
    """Return quotas with the query that recounts each: user, token and amount."""
    size = {"sqlite": "LENGTH(CAST(COALESCE({}, '') AS BLOB))", "postgresql": "octet_length(COALESCE({}, ''))"}
    sizes = " + ".join(size[connection.vendor].format(part) for part in PARTS)
    query = "SELECT owner_id, token_id, {} FROM cells_cell WHERE owner_id IS NOT NULL GROUP BY owner_id, token_id"
    return [(CELLS, query.format("COUNT(*)")), (CELL_BYTES, query.format(f"SUM({sizes})"))]
