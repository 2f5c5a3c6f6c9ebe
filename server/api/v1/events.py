"""Events of the native API: one for each observation and for each kept prediction."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request

from server.api import caller, events, fields
from server.api.serializers import QuerySerializer
from server.api.v1.export import answers
from server.api.v1.view import View, operation
from server.core.errors import Invalid
from server.learning import registry
from server.learning.event_log import BATCH, PREDICTION, Learned, Position, Predicted, Reader, Row
from server.learning.models import Model
from server.streams.models import Stream

TYPES = ("predict", "learn", "label")
HEADERS = (
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Go on after this event",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}(-[0-9]{1,18}){0,4}$"},
    },
)


class ListenToEventsQuery(QuerySerializer):
    stream = fields.Text("Only events of this stream", max_length=fields.LONGEST_IN_QUERY)
    model = fields.Text("Only events of this model", max_length=fields.LONGEST_IN_QUERY)
    type = fields.Choice(TYPES, "Only these")


class Events(View):
    """Event stream of observations and predictions."""

    @operation(
        "listenToEvents",
        answers={200: {"text/event-stream": {"type": "string"}}},
        query=ListenToEventsQuery,
        errors=(404,),
        headers=HEADERS,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send server-sent events: predict, learn and label.

        `learn` and `label` contain an observation and the predictions of the models. `predict` contains a prediction that
        is kept for its label; other predictions cause no event. Every worker sends the same events in the same order.
        With the header Last-Event-ID (the id of the last event that you received, or 0), the stream continues after that
        event; without it, the stream starts now.
        """
        asked = request._request
        kind = self.query["type"]
        stream_id, model = _chosen(asked, self.query["stream"], self.query["model"])
        rows = (BATCH, PREDICTION) if kind is None else (PREDICTION,) if kind == "predict" else (BATCH,)
        reader = Reader(events.begin(asked), stream_id, rows)
        return events.respond(asked, reader, _Teller(model, kind))

    def head(self, request: Request) -> None:
        # Django would answer HEAD like GET, which never ends.
        raise MethodNotAllowed("HEAD")


def _chosen(request: HttpRequest, stream_name: str | None, model_name: str | None) -> tuple[int | None, Model | None]:
    stream = None if stream_name is None else caller.stream(request, stream_name)
    if model_name is not None:
        caller.check_model(request, model_name)
    model = None if model_name is None else registry.find(model_name)
    if model is None:
        return (None if stream is None else stream.pk), None
    if stream is not None and model.stream_id != stream.pk:
        raise Invalid(f"model {model.name} is on stream {model.stream.name}, not on {stream.name}", field="stream")
    return model.stream_id, model


class _Teller:
    """Converts rows of the log to events of the native API."""

    def __init__(self, model: Model | None, kind: str | None) -> None:
        self._model = model
        self._kind = kind
        self._streams: dict[int, str] = {}
        self._models: dict[int, str] = {}

    def __call__(self, row: Row) -> Iterator[bytes]:
        if row.stream_id not in self._streams:
            self._streams |= dict(Stream.objects.filter(pk=row.stream_id).values_list("pk", "name"))
        stream = self._streams.get(row.stream_id)
        if stream is None:
            return
        if isinstance(row, Predicted):
            yield from self._prediction(row, stream)
        else:
            yield from self._observations(row, stream)

    def _prediction(self, row: Predicted, stream: str) -> Iterator[bytes]:
        if self._model is not None and row.model_id != self._model.pk:
            return
        name = self._names({row.model_id}).get(row.model_id)
        if name is not None:
            data = {
                "stream": stream,
                "model": name,
                "identifier": row.identifier,
                "x": row.x,
                "prediction": row.prediction,
                "after": row.after,
                "at": row.at,
            }
            yield events.message(row.position.id(), data, "predict")

    def _observations(self, row: Learned, stream: str) -> Iterator[bytes]:
        span = row.span
        names = self._names(span.predictions.keys() | span.skipped.keys())
        for offset, (x, y) in enumerate(zip(span.xs, span.ys, strict=True)):
            note = span.notes.get(offset, {})
            kind = "label" if "identifier" in note else "learn"
            if x is None or not row.untold(offset) or (self._kind is not None and kind != self._kind):
                continue
            data: dict[str, Any] = {"stream": stream, "seq": span.first + offset, "at": span.at, "x": x, "y": y}
            data |= {field: note[field] for field in ("key", "source", "identifier") if field in note}
            data |= answers(span, offset, names)
            if self._model is None or self._model.name in data.get("predictions", ()):
                yield events.message(Position(*row.position[:3], offset).id(), data, kind)

    def _names(self, pks: set[int]) -> dict[int, str]:
        """Return the names of models that still exist and were asked for."""
        if self._model is not None:
            return {self._model.pk: self._model.name}
        if pks - self._models.keys():
            self._models |= dict(Model.objects.filter(pk__in=pks).values_list("pk", "name"))
        return self._models
