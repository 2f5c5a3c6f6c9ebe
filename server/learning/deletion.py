"""Deletion of a stream's models together with the stream."""

from collections.abc import Callable

from django.db.models import Sum
from django.db.models.functions import Length

from server.core.errors import Conflict
from server.learning import quota_counts
from server.learning.models import Model, Quarantine, RecordBlock, Snapshot
from server.learning.records import storing
from server.learning.registry import audit_entry
from server.streams import deletion
from server.streams.models import Stream

ROWS_OF_MODEL = 150
"""A model takes as long to delete as this many rows, since it has an audit entry and rows in other tables."""


class Models(deletion.StreamData):
    """The models of a stream, with their snapshots, records and kept predictions.

    Parameters
    ----------
    check
        Called with each model; raises an error to refuse the deletion.
    """

    def __init__(self, check: Callable[[Model], None] = lambda model: None) -> None:
        self._check = check

    def check(self, stream: Stream) -> None:
        for model in Model.objects.filter(stream=stream).only("name", "owner_id").order_by("pk"):
            model.stream = stream
            self._check(model)

    def rows(self, stream: Stream) -> int:
        models = Model.objects.filter(stream=stream).count()
        tables = (Snapshot, Quarantine, RecordBlock)
        return ROWS_OF_MODEL * models + sum(table.objects.filter(model__stream=stream).count() for table in tables)

    def bytes(self, stream: Stream, most: int) -> int:
        initial = Model.objects.filter(stream=stream).aggregate(size=Sum(Length("initial")))["size"] or 0
        states = Snapshot.objects.filter(model__stream=stream).aggregate(size=Sum(Length("state")))["size"] or 0
        size = Sum(Length("columns") + Length("summary") + Length("by_segment"))
        records = RecordBlock.objects.filter(model__stream=stream).aggregate(size=size)["size"] or 0
        return int(initial + states + records)

    def clear(self, stream: Stream) -> int:
        records = storing.delete_in_turns(Model.objects.filter(stream=stream))
        return records + quota_counts.delete_predictions_in_turns("stream_id = %s ORDER BY id", stream.pk)

    def delete(self, stream: Stream) -> deletion.Deleted:
        models = Model.objects.filter(stream=stream).order_by("pk")
        told = []
        for model in models.select_for_update().defer("initial"):
            model.stream = stream
            told.append(("model.delete", model.name, audit_entry(model)))
        return deletion.Deleted(quota_counts.of_deleted_models(models), told)


class NoModels(deletion.StreamData):
    """Refuses to delete a stream that has models."""

    def check(self, stream: Stream) -> None:
        if Model.objects.filter(stream=stream).exists():
            raise Conflict(
                f"stream {stream.name} has models: delete them first; or, to delete all of them with it, confirm it with the "
                "stream's name",
                field="confirm",
                code="has_models",
            )
