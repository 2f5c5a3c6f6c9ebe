"""A model's metrics after each observation, for event streams.

The log has no metrics: they are part of a replica's state. So each event stream has replicas of its own, which follow the log.
It shows the same metrics whichever worker answers.
"""

from collections import OrderedDict
from typing import Any

from server.learning.event_log import Learned
from server.learning.fold import replay, snapshots
from server.learning.fold.estimator_errors import BrokenReplica
from server.learning.fold.replay import Exclusions
from server.learning.fold.replica import Replica
from server.learning.models import Model

MOST_REPLICAS = 32
"""Most replicas of one event stream. With more models, replicas are rebuilt again and again."""


class RunningMetrics:
    """The metrics of models, one observation after the other."""

    def __init__(self) -> None:
        self._replicas: OrderedDict[int, tuple[Replica, Exclusions]] = OrderedDict()

    def models(self, row: Learned) -> dict[int, Model]:
        """Return the models that predicted these observations and still exist."""
        found = Model.objects.select_related("stream").filter(pk__in=row.span.predictions, stream=row.stream_id)
        return {model.pk: model for model in found}

    def after(self, model: Model, row: Learned, offset: int) -> dict[str, Any] | None:
        """Return the metrics after one observation; None if the model's replica can't be at that observation."""
        seq = row.span.first + offset
        if seq <= max(model.since, model.stream.whole_after):
            return None
        replica, retracted = self._at(model, seq - 1)
        given, skip = replay.logged_outcomes(row.span, model, retracted)
        x, y = row.span.xs[offset : offset + 1], row.span.ys[offset : offset + 1]
        try:
            replica.advance(seq, x, y, _only(given, offset), _only(skip, offset))
        except BrokenReplica:
            del self._replicas[model.pk]
            replica, _ = self._at(model, seq)
        values: dict[str, Any] = replica.metrics.values()
        return values

    def _at(self, model: Model, seq: int) -> tuple[Replica, Exclusions]:
        """Return a replica of the model's current generation after observation ``seq``."""
        found = self._replicas.get(model.pk)
        if found is None or found[0].generation != model.generation or found[0].n > seq:
            found = snapshots.load(model, model.stream.segment, seq), replay.exclusions_of(model)
            self._replicas[model.pk] = found
        self._replicas.move_to_end(model.pk)
        if len(self._replicas) > MOST_REPLICAS:
            self._replicas.popitem(last=False)
        if found[0].n < seq:
            replay.fold_log(found[0], model, found[1], seq)
        return found


def _only(by_offset: dict[int, Any], offset: int) -> dict[int, Any] | None:
    return {0: by_offset[offset]} if offset in by_offset else None
