"""Event streams of the riverapi protocol, in the formats of django-river-ml: one event for each model.

``/api/stream/events/`` sends predict, learn and label events. ``/api/stream/metrics/`` sends a model's metrics after
each observation. For compatibility, these events have no name, and their data are the metrics alone. The event's id
ends with the model's name.
"""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse

from server.api import events
from server.api.riverapi.metrics import shape
from server.learning.event_log import BATCH, Learned, Position, Predicted, Reader, Row
from server.learning.models import Model
from server.learning.running_metrics import RunningMetrics

HEARTBEAT = b"\n"
"""An empty line. The published client passes any other line on to its caller."""


def stream_events(request: HttpRequest) -> StreamingHttpResponse:
    """GET /api/stream/events/."""
    return events.respond(request, Reader(events.begin(request)), _EventMessages(), HEARTBEAT)


def stream_metrics(request: HttpRequest) -> StreamingHttpResponse:
    """GET /api/stream/metrics/."""
    reader = Reader(events.begin(request), kinds=(BATCH,))
    return events.respond(request, reader, _MetricsMessages(), HEARTBEAT, is_slow=True)


def _learned_events(row: Learned) -> Iterator[tuple[int, int, Position]]:
    """Yield offset, model and position of each event of a batch: one for each model that learned the observation."""
    models = sorted(row.span.predictions)
    for offset, x in enumerate(row.span.xs):
        for model in models if x is not None else ():  # None: thinned out
            if row.untold(offset, model) and offset not in row.span.skipped.get(model, {}):
                yield offset, model, Position(*row.position[:3], offset, model)


class _EventMessages:
    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def __call__(self, row: Row) -> Iterator[bytes]:
        if isinstance(row, Predicted):
            name = self._names_of({row.model_id}).get(row.model_id)
            if name is not None:
                data = {"model": name, "features": row.x, "prediction": row.prediction}
                yield events.message(row.position.id(), data, "predict")
            return
        names = self._names_of(set(row.span.predictions))
        for offset, model, position in _learned_events(row):
            if model in names:
                data = {
                    "model": names[model],
                    "features": row.span.xs[offset],
                    "prediction": row.span.predictions[model][offset],
                    "ground_truth": row.span.ys[offset],
                }
                yield events.message(position.id(), data, _kind(row, offset, model))

    def _names_of(self, pks: set[int]) -> dict[int, str]:
        if pks - self._names.keys():
            self._names |= dict(Model.objects.filter(pk__in=pks).values_list("pk", "name"))
        return self._names


def _kind(row: Learned, offset: int, model: int) -> str:
    """Return the event's kind: "label" for the model whose prediction waited for it, "learn" for the other models."""
    note: dict[str, Any] = row.span.notes.get(offset, {})
    return "label" if "identifier" in note and str(model) in note.get("given", {}) else "learn"


class _MetricsMessages:
    def __init__(self) -> None:
        self._running = RunningMetrics()

    def __call__(self, row: Row) -> Iterator[bytes]:
        assert isinstance(row, Learned)
        models = self._running.models(row)
        for offset, pk, position in _learned_events(row):
            model = models.get(pk)
            values = None if model is None else self._running.after(model, row, offset)
            if model is not None and values is not None:
                yield events.message(position.id(model.name), shape(model.flavor, values))
