"""Views of the Open Inference Protocol but for its probes, which are in :mod:`server.operations.health`. A version of a model is a position of its stream's log."""

import functools
from collections.abc import Callable
from importlib.metadata import version as installed_version
from time import perf_counter_ns
from typing import Any

from django.http import HttpRequest, HttpResponse

from server.api import caller, hot_views
from server.api.codec import answer
from server.api.errors import MethodNotAllowed, body_of, headers_of, respond, translated
from server.api.open_inference import inference_requests, outputs
from server.core.errors import Conflict, NotFound, Unavailable
from server.core.validation import format_value
from server.learning import as_of, inspection, registry
from server.learning.fold.replica_set import SETS
from server.learning.metrics import call_stats
from server.learning.models import Model
from server.learning.predictions import predict_points
from server.learning.predictions.predict_points import ModelLocation

PLATFORM = "tailrace_river"
EXTENSIONS = ["binary_tensor_data"]
_DATATYPES = {"number": "FP64", "boolean": "BOOL", "category": "BYTES"}
_LONGEST_VERSION = 18

View = Callable[..., HttpResponse]


def get(view: View) -> View:
    """Return a plain view that accepts only GET."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method != "GET":
            response = respond(MethodNotAllowed(f"{request.path} takes GET, not {request.method}"), request)
            response["Allow"] = "GET"
            return response
        return view(request, **kwargs)

    wrapped.csrf_exempt = True  # type: ignore[attr-defined]  # callers have tokens, not cookies
    return wrapped


@get
def server(request: HttpRequest) -> HttpResponse:
    """GET /v2: name, version and extensions of the server."""
    return answer({"name": "tailrace", "version": installed_version("tailrace"), "extensions": EXTENSIONS})


@get
def model_ready(request: HttpRequest, name: str, version: str | None = None) -> HttpResponse:
    """GET /v2/models/M[/versions/V]/ready: whether the model can predict; 503 with the reason if not."""
    data = {"name": name, "ready": True}
    try:
        place = caller.place(request, name)
        if version is not None:
            _check_version(name, place, _number(name, version))
    except (Conflict, Unavailable) as exc:
        error = translated(exc, request)
        response = answer({**data, "ready": False, **body_of(error, request)}, 503)
        for header, value in headers_of(error).items():
            response[header] = value
        return response
    return answer(data)


@get
def metadata(request: HttpRequest, name: str, version: str | None = None) -> HttpResponse:
    """GET /v2/models/M[/versions/V]: its inputs and outputs. ``versions`` has the newest one only."""
    place = caller.place(request, name)
    if version is not None:
        _check_version(name, place, _number(name, version))
    model = registry.find(name)
    intervals = inspection.with_replica(name, lambda replica: replica.gives_bands)
    features = hot_views.checker(SETS.of(place.stream_id), place).features
    inputs = [
        {"name": feature, "datatype": _DATATYPES[kind], "shape": [-1]} for feature, kind in (features or {}).items()
    ]
    return answer(
        {
            "name": name,
            "versions": [version if version is not None else str(place.head)],
            "platform": PLATFORM,
            "inputs": inputs,
            "outputs": outputs.described(model.flavor, model.stream.target_kind, intervals=intervals),
        }
    )


@hot_views.post
def infer(request: HttpRequest, name: str, version: str | None = None) -> HttpResponse:
    """POST /v2/models/M[/versions/V]/infer: predict points; with a version, as of that observation."""
    started = perf_counter_ns()
    place = caller.place(request, name)
    replicas = SETS.of(place.stream_id)
    checker = hot_views.checker(replicas, place)
    declared = checker.features
    asked = inference_requests.read(request, None if declared is None else list(declared))
    if version is None:
        found = predict_points.predict(
            name,
            asked.xs,
            place=place,
            level=asked.level,
            fields=asked.fields,
            may_read=lambda: caller.may(request, "read"),
        )
        call_stats.predicted(found.model_id, perf_counter_ns() - started)
    else:
        at = _number(name, version)
        _check_version(name, place, at)
        found = as_of.predict(
            name, asked.xs, at, checker=checker, level=asked.level, fields=asked.fields, key=caller.key(request)
        )
    kind = outputs.datatype(*_kinds(replicas.models, place, name))
    content, json_length = outputs.written(name, asked, found, kind)
    response = HttpResponse(
        content, content_type="application/json" if json_length is None else "application/octet-stream"
    )
    if json_length is not None:
        response[inference_requests.JSON_LENGTH] = str(json_length)
    return hot_views.warned(request, response, found)


def _kinds(models: dict[int, Any], place: ModelLocation, name: str) -> tuple[str, str]:
    """Return the model's flavor and its stream's kind of target, from memory if they are there."""
    model = models.get(place.model_id)
    if model is None:
        model = registry.find(name)
    return model.flavor, SETS.of(place.stream_id).checker.target_kind


def _number(name: str, version: str) -> int:
    """Return the number of a version.

    Raises
    ------
    NotFound
        If it isn't a number.
    """
    if not (version.isascii() and version.isdecimal() and len(version) <= _LONGEST_VERSION):
        raise NotFound(
            f"model {name} has no version {format_value(version)}: a version is the number of an observation",
            field="version",
        )
    return int(version)


def _check_version(name: str, place: ModelLocation, at: int) -> None:
    """Check that the model has a state after an observation.

    Raises
    ------
    NotFound
        If it has none.
    """
    since = Model.objects.filter(pk=place.model_id).values_list("since", flat=True).first() or 0
    if not since <= at <= place.head:
        raise NotFound(
            f"model {name} has no version {at}: its versions are {since} to {place.head}, the observations that it has learned",
            field="version",
        )
