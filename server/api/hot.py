"""What the hot views of both APIs share."""

import functools
import math
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller
from server.api.errors import MethodNotAllowed, respond
from server.learning.asking import Answer, Place
from server.learning.replicaset import ReplicaSet
from server.streams import unfamiliar
from server.streams.codec import exact
from server.streams.errors import Invalid, TailraceError, TooLarge
from server.streams.validation import Checker, shown

View = Callable[..., HttpResponse]
WARNINGS_HEADER = "X-Tailrace-Warnings"


def post(view: View) -> View:
    """A plain view that takes POST alone and answers errors in the one shape."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            response = respond(MethodNotAllowed(f"{request.path} takes POST, not {request.method}"), request)
            response["Allow"] = "POST"
            return response
        try:
            return view(request, **kwargs)
        except TailraceError:
            caller.confirm(request, None)  # whoever is no longer let in hears that, whatever else is wrong
            raise

    wrapped.csrf_exempt = True  # type: ignore[attr-defined]
    return wrapped


def checker(replicas: ReplicaSet, place: Place) -> Checker:
    """The stream's checker; it is loaded with the replicas, and again only when the stream's models change."""
    if replicas.epoch < place.epoch:
        with replicas.to_ask():
            if replicas.epoch < place.epoch:
                replicas.reload(place.head)
    return replicas.checker


def warned(request: HttpRequest, response: HttpResponse, found: Answer) -> HttpResponse:
    """An answer in a protocol that has no place for warnings of its own, with a header that says them."""
    if found.faults:
        said = unfamiliar.shortened(found.faults)
        response[WARNINGS_HEADER] = unfamiliar.in_header(said, may_read=caller.may(request, "read"))
    return response


def check_given(prediction: Any) -> Any:
    """A prediction that the caller made earlier: a finite number, a label, or an object of label and probability.

    Raises
    ------
    Invalid
        Naming the value.
    TooLarge
        If a model's own may not be as large.
    """
    fine = isinstance(prediction, (bool, int, float, str)) or (
        isinstance(prediction, dict)
        and all(type(share) in (int, float) and math.isfinite(share) for share in prediction.values())
    )
    if not fine:
        raise Invalid(
            f"prediction is {shown(prediction)}: expected a number, a label, or an object of labels and probabilities",
            field="prediction",
        )
    if isinstance(prediction, (str, dict)):
        size, most = len(exact(prediction)), settings.TAILRACE.max_prediction_bytes
        if size > most:
            raise TooLarge(
                f"prediction takes {size} bytes of JSON: the most allowed is {most} (TAILRACE_MAX_PREDICTION_BYTES)",
                field="prediction",
            )
    return prediction
