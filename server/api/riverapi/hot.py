"""learn, predict and label of the riverapi protocol: the calls that load is made of."""

from time import perf_counter_ns
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller, hot
from server.api.codec import answer, json_object
from server.learning import asking, stats, writing
from server.learning.replicaset import SETS
from server.streams.errors import Invalid
from server.streams.log import Note, Points
from server.streams.validation import check_text, shown

LEARNED = b'"Successful learn."'
LABELED = b'"Successful label."'


@hot.post
def learn(request: HttpRequest) -> HttpResponse:
    """POST /api/learn/: model, features, ground_truth; optionally prediction, identifier."""
    started = perf_counter_ns()
    payload = json_object(request)
    identifier = payload.get("identifier")
    name = payload.get("model")
    if identifier is not None:
        caller.confirm(request, None)
        found = asking.waiting(identifier, _optional(name), streams=caller.only_streams(request))
        asking.label(found, payload.get("ground_truth"), "ground_truth")
        model_id = found.model_id
    else:
        place = caller.place(request, name)
        model_id = place.model_id
        x, y = payload.get("features"), payload.get("ground_truth")
        if x is None:
            raise Invalid("features is missing, and no identifier says where they are kept", field="features")
        check = hot.checker(SETS.of(place.stream_id), place)
        check.x(x, "features")
        if y is not None or check.target_kind != "any":
            check.y(y, "ground_truth")
        given = payload.get("prediction")
        notes = {} if given is None else {0: Note(given={model_id: hot.check_given(given)})}
        writing.learn(place.stream_id, Points([x], [y], notes))
    stats.learned(model_id, perf_counter_ns() - started)
    return HttpResponse(LEARNED, status=201, content_type="application/json")


@hot.post
def predict(request: HttpRequest) -> HttpResponse:
    """POST /api/predict/: model, features; optionally an identifier (``false``: keep nothing)."""
    started = perf_counter_ns()
    payload = json_object(request)
    name, identifier = payload.get("model"), payload.get("identifier")
    keep = settings.TAILRACE.generate_identifiers if identifier is None else identifier is not False
    found = asking.predict(
        name,
        (payload.get("features"),),
        place=caller.place(request, name),
        identifier=None if identifier is False else identifier,
        keep=keep,
        of_model=True,
        owner=caller.owner(request),
        fields=("features",),
        may_read=lambda: caller.may(request, "read"),
    )
    stats.predicted(found.model_id, perf_counter_ns() - started)
    data: dict[str, Any] = {"model": name, "prediction": found.predictions[0]}
    if found.identifier is None:
        return hot.warned(request, answer(data), found)
    data["identifier"] = found.identifier
    return hot.warned(request, caller.warned(request, answer(data, 201)), found)


@hot.post
def label(request: HttpRequest) -> HttpResponse:
    """POST /api/label/: model, identifier, label."""
    payload = json_object(request)
    for name in ("model", "identifier", "label"):
        if payload.get(name) is None:
            raise Invalid(f"{name} is missing: expected model, identifier and label", field=name, code="missing")
    found = asking.waiting(payload["identifier"], _optional(payload["model"]), streams=caller.only_streams(request))
    asking.label(found, payload["label"], "label")
    return HttpResponse(LABELED, status=200, content_type="application/json")


def _optional(name: Any) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise Invalid(f"model is {shown(name)}: expected the name of a model", field="model")
    return check_text(name, "model", 200)
