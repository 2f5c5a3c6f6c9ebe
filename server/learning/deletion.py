"""Models of a stream that is deleted."""

from collections.abc import Callable

from django.db.models import Sum
from django.db.models.functions import Length

from server.learning import usage
from server.learning.models import Model, Quarantine, Snapshot
from server.learning.registry import told_of
from server.streams import deletion
from server.streams.errors import Conflict
from server.streams.models import Stream

ROWS_OF_MODEL = 150
"""A model takes as long to delete as so many rows: it has an entry in the audit trail, and rows of its own in other tables."""


class Models(deletion.Part):
    """The models of a stream, with their snapshots and kept predictions.

    Parameters
    ----------
    check
        Asked of each model: may refuse.
    """

    def __init__(self, check: Callable[[Model], None] = lambda model: None) -> None:
        self._check = check

    def check(self, stream: Stream) -> None:
        for model in Model.objects.filter(stream=stream).only("name", "owner_id").order_by("pk"):
            model.stream = stream
            self._check(model)

    def rows(self, stream: Stream) -> int:
        models = Model.objects.filter(stream=stream).count()
        tables = (Snapshot, Quarantine)
        return ROWS_OF_MODEL * models + sum(table.objects.filter(model__stream=stream).count() for table in tables)

    def bytes(self, stream: Stream, most: int) -> int:
        initial = Model.objects.filter(stream=stream).aggregate(size=Sum(Length("initial")))["size"] or 0
        states = Snapshot.objects.filter(model__stream=stream).aggregate(size=Sum(Length("state")))["size"] or 0
        return int(initial + states)

    def clear(self, stream: Stream) -> int:
        return usage.delete_predictions_in_turns("stream_id = %s ORDER BY id", stream.pk)

    def delete(self, stream: Stream) -> deletion.Going:
        models = Model.objects.filter(stream=stream).order_by("pk")
        told = []
        for model in models.select_for_update().defer("initial"):
            model.stream = stream
            told.append(("model.delete", model.name, told_of(model)))
        return deletion.Going(usage.of_deleted_models(models), told)


class NoModels(deletion.Part):
    """Refuses to delete a stream that has models."""

    def check(self, stream: Stream) -> None:
        if Model.objects.filter(stream=stream).exists():
            raise Conflict(
                f"stream {stream.name} has models: delete them first; or, to delete all of them with it, confirm it with the "
                "stream's name",
                field="confirm",
                code="has_models",
            )
