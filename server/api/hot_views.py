"""Functions that the hot views (learn, predict, label) of both APIs share."""

import functools
import math
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller
from server.api.errors import MethodNotAllowed, respond
from server.core.errors import Invalid, TailraceError, TooLarge
from server.core.json_codec import dumps_exact
from server.core.validation import Checker, format_value
from server.learning.fold.replica_set import ReplicaSet
from server.learning.predictions.predict_points import ModelLocation, PredictionResult
from server.streams import feature_warnings

View = Callable[..., HttpResponse]
WARNINGS_HEADER = "X-Tailrace-Warnings"


def post(view: View) -> View:
    """Return a plain view that accepts only POST and answers errors in the common form."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            response = respond(MethodNotAllowed(f"{request.path} takes POST, not {request.method}"), request)
            response["Allow"] = "POST"
            return response
        try:
            return view(request, **kwargs)
        except TailraceError:
            caller.confirm(request, None)  # a caller who lost access gets that error, whatever else is wrong
            raise

    wrapped.csrf_exempt = True  # type: ignore[attr-defined]
    return wrapped


def checker(replicas: ReplicaSet, place: ModelLocation) -> Checker:
    """Return the stream's checker. It is loaded with the replicas, and again when the stream's models change."""
    if replicas.epoch < place.epoch:
        with replicas.lock_to_predict():
            if replicas.epoch < place.epoch:
                replicas.reload(place.head)
    return replicas.checker


def warned(request: HttpRequest, response: HttpResponse, found: PredictionResult) -> HttpResponse:
    """Return the response with a header that has the warnings, for protocols without a field for them."""
    if found.faults:
        said = feature_warnings.shortened(found.faults)
        response[WARNINGS_HEADER] = feature_warnings.in_header(said, may_read=caller.may(request, "read"))
    return response


def check_given(prediction: Any) -> Any:
    """Return a prediction that the caller made earlier: a finite number, a label, or an object of label and probability.

    Raises
    ------
    Invalid
        If it is something else.
    TooLarge
        If it exceeds the limit on predictions.
    """
    fine = isinstance(prediction, (bool, int, float, str)) or (
        isinstance(prediction, dict)
        and all(type(share) in (int, float) and math.isfinite(share) for share in prediction.values())
    )
    if not fine:
        raise Invalid(
            f"prediction is {format_value(prediction)}: expected a number, a label, or an object of labels and probabilities",
            field="prediction",
        )
    if isinstance(prediction, (str, dict)):
        size, most = len(dumps_exact(prediction)), settings.TAILRACE.max_prediction_bytes
        if size > most:
            raise TooLarge(
                f"prediction takes {size} bytes of JSON: the most allowed is {most} (TAILRACE_MAX_PREDICTION_BYTES)",
                field="prediction",
            )
    return prediction
