"""View of SageMaker's contract: ``POST /invocations`` predicts with one model, from a setting or from the address."""

from time import perf_counter_ns

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller, hot_views, invocation_formats
from server.core.errors import NotFound
from server.learning.fold.replica_set import SETS
from server.learning.metrics import call_stats
from server.learning.predictions import predict_points


@hot_views.post
def invocations(request: HttpRequest, name: str = "") -> HttpResponse:
    """POST /invocations or /invocations/<model>: predict points that are sent as JSON, JSON lines or CSV."""
    started = perf_counter_ns()
    name = name or settings.TAILRACE.invocations_model
    if not name:
        raise NotFound(
            "no model is configured: use POST /invocations/MODEL, or set TAILRACE_INVOCATIONS_MODEL",
            code="no_model_chosen",
        )
    place = caller.place(request, name)
    sent = invocation_formats.form(request)
    wanted = invocation_formats.wanted(request, sent)
    declared = hot_views.checker(SETS.of(place.stream_id), place).features
    found = invocation_formats.read(request, sent, None if declared is None else list(declared))
    invocation_formats.check_count(len(found))
    answer = predict_points.predict(
        name,
        [one.x for one in found],
        place=place,
        fields=[one.field for one in found],
        may_read=lambda: caller.may(request, "read"),
    )
    call_stats.predicted(answer.model_id, perf_counter_ns() - started)
    content = invocation_formats.written(answer.predictions, wanted, model=name, at=answer.at)
    return hot_views.warned(request, HttpResponse(content, content_type=wanted), answer)
