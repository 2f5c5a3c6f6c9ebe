"""Views of the riverapi protocol for learn, predict and label, the most frequent requests."""

from time import perf_counter_ns
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller, hot_views
from server.api.codec import answer, json_object
from server.core.errors import Invalid
from server.core.validation import check_text, format_value
from server.learning.fold.replica_set import SETS
from server.learning.metrics import call_stats
from server.learning.predictions import labels, predict_points
from server.learning.write_path import learn_points
from server.streams.points import Note, Points

LEARNED = b'"Successful learn."'
LABELED = b'"Successful label."'


@hot_views.post
def learn(request: HttpRequest) -> HttpResponse:
    """POST /api/learn/ with model, features and ground_truth; optionally with prediction and identifier."""
    started = perf_counter_ns()
    payload = json_object(request)
    identifier = payload.get("identifier")
    name = payload.get("model")
    if identifier is not None:
        caller.confirm(request, None)
        found = labels.find_kept_prediction(identifier, _optional(name), streams=caller.only_streams(request))
        labels.learn_label(found, payload.get("ground_truth"), "ground_truth")
        model_id = found.model_id
    else:
        place = caller.place(request, name)
        model_id = place.model_id
        x, y = payload.get("features"), payload.get("ground_truth")
        if x is None:
            raise Invalid(
                "features is missing: expected features, or the identifier of a prediction that has them",
                field="features",
            )
        check = hot_views.checker(SETS.of(place.stream_id), place)
        check.x(x, "features")
        if y is not None or check.target_kind != "any":
            check.y(y, "ground_truth")
        given = payload.get("prediction")
        notes = {} if given is None else {0: Note(given={model_id: hot_views.check_given(given)})}
        learn_points.learn(place.stream_id, Points([x], [y], notes))
    call_stats.learned(model_id, perf_counter_ns() - started)
    return HttpResponse(LEARNED, status=201, content_type="application/json")


@hot_views.post
def predict(request: HttpRequest) -> HttpResponse:
    """POST /api/predict/ with model and features; optionally with an identifier (``false``: nothing is stored)."""
    started = perf_counter_ns()
    payload = json_object(request)
    name, identifier = payload.get("model"), payload.get("identifier")
    keep = settings.TAILRACE.generate_identifiers if identifier is None else identifier is not False
    found = predict_points.predict(
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
    call_stats.predicted(found.model_id, perf_counter_ns() - started)
    data: dict[str, Any] = {"model": name, "prediction": found.predictions[0]}
    if found.identifier is None:
        return hot_views.warned(request, answer(data), found)
    data["identifier"] = found.identifier
    return hot_views.warned(request, caller.warned(request, answer(data, 201)), found)


@hot_views.post
def label(request: HttpRequest) -> HttpResponse:
    """POST /api/label/ with model, identifier and label."""
    payload = json_object(request)
    for name in ("model", "identifier", "label"):
        if payload.get(name) is None:
            raise Invalid(f"{name} is missing: expected model, identifier and label", field=name, code="missing")
    found = labels.find_kept_prediction(
        payload["identifier"], _optional(payload["model"]), streams=caller.only_streams(request)
    )
    labels.learn_label(found, payload["label"], "label")
    return HttpResponse(LABELED, status=200, content_type="application/json")


def _optional(name: Any) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise Invalid(f"model is {format_value(name)}: expected the name of a model", field="model")
    return check_text(name, "model", 200)
