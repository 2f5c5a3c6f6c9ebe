"""Cells and databases of a stream that is deleted."""

from collections.abc import Callable

from server.cells import usage
from server.cells.databases import told
from server.cells.models import Cell, Database
from server.streams import deletion
from server.streams.models import Stream
from server.streams.sizes import bytes_up_to

ROWS_OF_DATABASE = 150
"""A database takes as long to delete as so many rows: it has an entry in the audit trail."""

READ_AS_WELL = 2
"""A byte of a cell counts as so many: it is read, for the quota that it counted for, before it is deleted."""


class Cells(deletion.Part):
    """The cells of a stream, and the databases that are selected from it.

    Parameters
    ----------
    check
        Asked of each database: may refuse.
    """

    def __init__(self, check: Callable[[Database], None] = lambda database: None) -> None:
        self._check = check

    def check(self, stream: Stream) -> None:
        for database in Database.objects.filter(stream=stream).only("name", "owner_id").order_by("pk"):
            database.stream = stream
            self._check(database)

    def rows(self, stream: Stream) -> int:
        cells, databases = (table.objects.filter(stream=stream).count() for table in (Cell, Database))
        return cells + ROWS_OF_DATABASE * databases

    def bytes(self, stream: Stream, most: int) -> int:
        cells = bytes_up_to(Cell.objects.filter(stream=stream), (*usage.PARTS, "composition"), most // READ_AS_WELL)
        databases = bytes_up_to(Database.objects.filter(stream=stream), ("asked", "counts"), most)
        return READ_AS_WELL * cells + READ_AS_WELL * databases

    def delete(self, stream: Stream) -> deletion.Going:
        found = Database.objects.select_for_update().filter(stream=stream).defer("counts").order_by("pk")
        deleted = [("database.delete", database.name, told(database)) for database in found]
        return deletion.Going(usage.of_stream(stream), deleted)
