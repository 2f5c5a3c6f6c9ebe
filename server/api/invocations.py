"""SageMaker's contract: ``POST /invocations`` has one model predict, chosen by a setting or by the address."""

from time import perf_counter_ns

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller, hot, instances
from server.learning import asking, stats
from server.learning.replicaset import SETS
from server.streams.errors import NotFound


@hot.post
def invocations(request: HttpRequest, name: str = "") -> HttpResponse:
    """POST /invocations or /invocations/<model>: points in JSON, JSON lines or CSV, and their predictions likewise."""
    started = perf_counter_ns()
    name = name or settings.TAILRACE.invocations_model
    if not name:
        raise NotFound(
            "no model was chosen: POST /invocations/MODEL, or set TAILRACE_INVOCATIONS_MODEL", code="no_model_chosen"
        )
    place = caller.place(request, name)
    sent = instances.form(request)
    wanted = instances.wanted(request, sent)
    declared = hot.checker(SETS.of(place.stream_id), place).features
    found = instances.read(request, sent, None if declared is None else list(declared))
    instances.check_count(len(found))
    answer = asking.predict(
        name,
        [one.x for one in found],
        place=place,
        fields=[one.field for one in found],
        may_read=lambda: caller.may(request, "read"),
    )
    stats.predicted(answer.model_id, perf_counter_ns() - started)
    content = instances.written(answer.predictions, wanted, model=name, at=answer.at)
    return hot.warned(request, HttpResponse(content, content_type=wanted), answer)
