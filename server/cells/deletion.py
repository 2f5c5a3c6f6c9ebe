"""Deletion of a stream's cells and databases together with the stream."""

from collections.abc import Callable
from functools import partial

from django.db import transaction

from server.cells import quota_counts, vectors
from server.cells.databases import audit_entry
from server.cells.models import Cell, Database
from server.core.db.text_sizes import bytes_up_to
from server.streams import deletion
from server.streams.models import Stream

ROWS_OF_DATABASE = 150
"""A database takes as long to delete as this many rows, since it has an audit entry."""

READ_AS_WELL = 2
"""A byte of a cell counts this many times, since it is read for the quota before it is deleted."""


class Cells(deletion.StreamData):
    """The cells of a stream, and its databases.

    Parameters
    ----------
    check
        Called with each database; raises an error to refuse the deletion.
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
        cells = bytes_up_to(
            Cell.objects.filter(stream=stream), (*quota_counts.PARTS, "composition"), most // READ_AS_WELL
        )
        databases = bytes_up_to(Database.objects.filter(stream=stream), ("asked", "counts"), most)
        return READ_AS_WELL * cells + READ_AS_WELL * databases

    def delete(self, stream: Stream) -> deletion.Deleted:
        found = Database.objects.select_for_update().filter(stream=stream).defer("counts").order_by("pk")
        transaction.on_commit(partial(vectors.remove, stream.pk), robust=True)
        deleted = [("database.delete", database.name, audit_entry(database)) for database in found]
        return deletion.Deleted(quota_counts.of_stream(stream), deleted)
