"""A model's metrics after every single observation, for those who watch them change.

The log holds no metrics: they are part of the fold. So whoever watches has a fold of his own that follows the log
behind the events told, and sees the same metrics whichever worker answers.
"""

from collections import OrderedDict
from typing import Any

from server.api.event_log import Learned
from server.learning import replay, snapshots
from server.learning.models import Model
from server.learning.replay import LeftOut
from server.learning.replica import Broken, Replica

MOST_REPLICAS = 32
"""Replicas that one watcher keeps; with more models at once they are rebuilt again and again."""


class RunningMetrics:
    """The metrics of models, one observation after the other."""

    def __init__(self) -> None:
        self._replicas: OrderedDict[int, tuple[Replica, LeftOut]] = OrderedDict()

    def models(self, row: Learned) -> dict[int, Model]:
        """The models that predicted these observations and are still there."""
        found = Model.objects.select_related("stream").filter(pk__in=row.span.predictions, stream=row.stream_id)
        return {model.pk: model for model in found}

    def after(self, model: Model, row: Learned, offset: int) -> dict[str, Any] | None:
        """The metrics after one observation, or None if it comes before the first that the model learns, or is replayed."""
        seq = row.span.first + offset
        if seq <= max(model.since, model.stream.whole_after):
            return None
        replica, retracted = self._at(model, seq - 1)
        given, skip = replay.known(row.span, model, retracted)
        x, y = row.span.xs[offset : offset + 1], row.span.ys[offset : offset + 1]
        try:
            replica.advance(seq, x, y, _only(given, offset), _only(skip, offset))
        except Broken:
            del self._replicas[model.pk]
            replica, _ = self._at(model, seq)
        values: dict[str, Any] = replica.scores.values()
        return values

    def _at(self, model: Model, seq: int) -> tuple[Replica, LeftOut]:
        """A replica of the model's present generation after observation ``seq``."""
        found = self._replicas.get(model.pk)
        if found is None or found[0].generation != model.generation or found[0].n > seq:
            found = snapshots.load(model, model.stream.segment, seq), replay.left_out(model)
            self._replicas[model.pk] = found
        self._replicas.move_to_end(model.pk)
        if len(self._replicas) > MOST_REPLICAS:
            self._replicas.popitem(last=False)
        if found[0].n < seq:
            replay.feed(found[0], model, found[1], seq)
        return found


def _only(by_offset: dict[int, Any], offset: int) -> dict[int, Any] | None:
    return {0: by_offset[offset]} if offset in by_offset else None
