"""The page that compares models of one stream over the same observations."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse

from server.core.errors import Invalid, NotFound, TailraceError
from server.core.validation import format_value
from server.dashboard import charts, comparisons, parameters
from server.dashboard.charts import Chart
from server.dashboard.recent_results import RecentResults
from server.dashboard.rendering import caller_of, page
from server.learning.models import Model
from server.learning.records import comparison, reading
from server.learning.records.columns import Unreadable
from server.streams.models import Stream

MOST_LISTED = 500
"""Most streams, and most models of a stream, that the form lists."""

COMPARED: RecentResults[dict[str, Any]] = RecentResults(16)
"""A page and its chart need the same."""

USED = ("model", "first", "last")


def compare(request: HttpRequest) -> HttpResponse:
    """GET: the page."""
    models, notes = _chosen(request)
    context: dict[str, Any] = {"notes": notes, "status": 200}
    try:
        context |= _form(request, models)
        if len(models) > 1:
            found = _compared(request, models)
            context |= {"compared": found, **comparisons.shown(models, found)}
            context["chart"] = _chart(request, models, found) if found["common"] else None
    except TailraceError as exc:
        context |= {"trouble": exc.message, "status": exc.status}
    return page(request, "compare", **context)


def chart(request: HttpRequest) -> HttpResponse:
    """GET: the curves as JSON or CSV."""
    models, _ = _chosen(request)
    if not models:
        raise NotFound("none of these models is there: choose others at /compare/", field="model")
    return charts.respond(request, _chart(request, models, _compared(request, models)))


def _chosen(request: HttpRequest) -> tuple[list[Model], list[str]]:
    """Return the models of the URL that are there, and a sentence for each that isn't."""
    models, notes = [], []
    names = [name for name in dict.fromkeys(request.GET.getlist("model")) if name]
    if len(names) > comparison.MOST_MODELS:
        notes.append(
            f"{len(names)} models are chosen, and at most {comparison.MOST_MODELS} can be compared: the others are left out."
        )
    for name in names[: comparison.MOST_MODELS]:
        try:
            models.append(parameters.find_model(request, name))
        except NotFound:
            notes.append(f"There is no model named {format_value(name)}: it may have been deleted. It is left out.")
    return models, notes


def _form(request: HttpRequest, models: Sequence[Model]) -> dict[str, Any]:
    stream = models[0].stream if models else None
    if stream is None and request.GET.get("stream"):
        stream = parameters.find_stream(request, request.GET["stream"])
    form: dict[str, Any] = {
        "stream": stream,
        "chosen": [model.name for model in models],
        "first": request.GET.get("first", ""),
        "last": request.GET.get("last", ""),
        "most": comparison.MOST_MODELS,
    }
    if stream is not None:
        there = Model.objects.filter(stream=stream).order_by("name").values_list("name", "recipe", "flavor")
        listed = [(name, recipe or flavor) for name, recipe, flavor in there[:MOST_LISTED]]
        known = {name for name, _ in listed}
        own = [(m.name, m.recipe or m.flavor) for m in models if m.stream_id == stream.pk and m.name not in known]
        form["listed"] = [*own, *listed]
    else:
        caller = caller_of(request)
        streams = Stream.objects.filter(model__isnull=False).distinct().order_by("name")
        if caller is not None and caller.streams is not None:
            streams = streams.filter(name__in=caller.streams)
        form["streams"] = list(streams.values_list("name", flat=True)[:MOST_LISTED])
    return form


def _compared(request: HttpRequest, models: Sequence[Model]) -> dict[str, Any]:
    first, last = parameters.whole(request, "first"), parameters.whole(request, "last")
    extents = [reading.extent(model) for model in models]
    reading.chosen(extents[0], first, last)
    comparisons.check(models)
    own = [(one.pk, one.created_at, one.generation, known.last) for one, known in zip(models, extents, strict=True)]
    try:
        return COMPARED.get((tuple(own), first, last), lambda: comparison.compare(models, first, last))
    except Unreadable as exc:
        message = (
            f"a part of a record can't be read: {exc}. The server makes it again from the log; try again in a minute"
        )
        raise Invalid(message) from exc


def _chart(request: HttpRequest, models: Sequence[Model], found: dict[str, Any]) -> Chart:
    made = comparisons.curves(models, found)
    made.url = charts.url("/compare/chart/", request, USED)
    return made
