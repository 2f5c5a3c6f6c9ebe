"""Events of the native API: one for each observation and for each kept prediction."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request

from server.api import caller, events
from server.api.event_log import BATCH, PREDICTION, Learned, Position, Predicted, Reader, Row
from server.api.v1 import query
from server.api.v1.export import answers
from server.api.v1.openapi import documented, in_header, in_query
from server.api.v1.view import View
from server.learning import registry
from server.learning.models import Model
from server.streams.errors import Invalid
from server.streams.models import Stream

TYPES = ("predict", "learn", "label")


class Events(View):
    """Everything that happens, as it happens."""

    query = ("stream", "model", "type")

    @documented(
        "listenToEvents",
        "Server-sent events: predict, learn, label",
        "`learn` and `label` tell an observation with what each model had predicted; `predict` a prediction that is kept for "
        "its label (others are not told). Any worker tells the same events in the same order. With the Last-Event-ID of the "
        "last event seen (or 0), the stream goes on after it, without it from now on.",
        parameters=[
            in_query("stream", "Only this stream's"),
            in_query("model", "Only this model's"),
            in_query("type", "Only these", {"type": "string", "enum": list(TYPES)}),
            in_header(
                "Last-Event-ID",
                "Go on after this event",
                {"type": "string", "pattern": "^[0-9]{1,18}(-[0-9]{1,18}){0,4}$"},
            ),
        ],
        answers={200: {"text/event-stream": {"type": "string"}}},
        errors=(404,),
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        asked = request._request
        kind = query.choice(asked, "type", TYPES)
        stream_id, model = _chosen(asked, query.text(asked, "stream"), query.text(asked, "model"))
        rows = (BATCH, PREDICTION) if kind is None else (PREDICTION,) if kind == "predict" else (BATCH,)
        reader = Reader(events.begin(asked), stream_id, rows)
        return events.respond(asked, reader, _Teller(model, kind))

    def head(self, request: Request) -> None:
        # Django would answer HEAD as GET, whose end nobody waits for.
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
    """Turns rows into events of the native API."""

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
        """Names of models, those that are still there and wanted."""
        if self._model is not None:
            return {self._model.pk: self._model.name}
        if pks - self._models.keys():
            self._models |= dict(Model.objects.filter(pk__in=pks).values_list("pk", "name"))
        return self._models
