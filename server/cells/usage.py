"""What cells count for in the quotas of those who posted them."""

from collections.abc import Iterable
from functools import reduce
from operator import add

from django.db import connection
from django.db.models.functions import Coalesce

from server.cells.models import Cell
from server.streams.models import Stream
from server.streams.quota_usage import Freed
from server.streams.quotas import CELL_BYTES, CELLS
from server.streams.sizes import TextBytes

PARTS = ("structure", "provenance", "checksums", "types", "reason")


def of_cell(cell: Cell) -> dict[str, int]:
    """What a cell counts for. Its observations are the log's, and count for nobody."""
    return {CELLS: 1, CELL_BYTES: sum(len((getattr(cell, part) or "").encode()) for part in PARTS)}


def freed(cells: Iterable[Cell]) -> list[Freed]:
    """What counts no longer once these are deleted."""
    return [Freed(cell.owner_id, cell.token_id, *count) for cell in cells for count in of_cell(cell).items()]


def of_stream(stream: Stream) -> list[Freed]:
    """What counts no longer once a stream goes with its cells. The caller has locked the stream."""
    size = reduce(add, (Coalesce(TextBytes(part), 0) for part in PARTS))
    # One by one: a GROUP BY of SQLite's copies every text before it measures any, which takes six times as long.
    sums: dict[tuple[int | None, int | None], list[int]] = {}
    for owner_id, token_id, total in Cell.objects.filter(stream=stream).values_list("owner_id", "token_id", size):
        sums.setdefault((owner_id, token_id), []).append(total)
    return [
        freed
        for whose, totals in sums.items()
        for freed in (Freed(*whose, CELLS, len(totals)), Freed(*whose, CELL_BYTES, sum(totals)))
    ]


def counted() -> list[tuple[str, str]]:
    """Quotas, and the query that counts each anew: user, token and amount."""
    size = {"sqlite": "LENGTH(CAST(COALESCE({}, '') AS BLOB))", "postgresql": "octet_length(COALESCE({}, ''))"}
    sizes = " + ".join(size[connection.vendor].format(part) for part in PARTS)
    query = "SELECT owner_id, token_id, {} FROM cells_cell WHERE owner_id IS NOT NULL GROUP BY owner_id, token_id"
    return [(CELLS, query.format("COUNT(*)")), (CELL_BYTES, query.format(f"SUM({sizes})"))]
