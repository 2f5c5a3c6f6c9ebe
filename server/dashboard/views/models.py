"""The page of a model: how it learned, where it fails, what it is, at any observation."""

from typing import Any
from urllib.parse import quote

from django.db.models import Max
from django.http import HttpRequest, HttpResponse

from server.core.errors import Invalid, NotFound, TailraceError
from server.dashboard import brushing, charts, model_charts, parameters, segment_charts, wall_times
from server.dashboard.formatting import number
from server.dashboard.rendering import caller_key, caller_of, page, to
from server.learning import inspection, quarantine
from server.learning.background import verifications
from server.learning.metrics import call_stats
from server.learning.models import Model, ModelStatus, Snapshot, Verification
from server.learning.records import calibration, drift, reading
from server.learning.records.columns import Columns, Unreadable
from server.streams import log

PARTS = {
    "scatter": "Predicted against actual",
    "residuals": "Errors by feature",
    "reliability": "Bounds",
    "segments": "Segments",
    "drift": "Where its error rose",
    "skipped": "Skipped observations",
}
"""What is shown when it is asked for: each reads many observations."""

MOST_SKIPS = 50


def model(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page."""
    found = parameters.find_model(request, name)
    extent = reading.extent(found)
    low, high = parameters.whole(request, "first"), parameters.whole(request, "last")
    if low is not None or high is not None:
        reading.chosen(extent, low, high)
    shown = [part for part in request.GET.getlist("show") if part in PARTS]
    return page(
        request,
        "model",
        model=found,
        extent=extent,
        first=low,
        last=high,
        segment=request.GET.get("segment", ""),
        is_time=found.flavor == "regression" and found.stream.target_unit.lower() in wall_times.UNITS,
        is_charted=model_charts.has_numbers(found),
        charts=[model_charts.make(one, request, found) for one in _first_charts(found)],
        parts=[
            {"name": part, "title": PARTS[part], "content": _part(request, found, part) if part in shown else None}
            for part in _parts(found)
        ],
        verification=_verification(found),
        query=request.GET.urlencode(),
        siblings=list(
            Model.objects.filter(stream=found.stream_id)
            .exclude(pk=found.pk)
            .order_by("name")
            .values_list("name", flat=True)[:50]
        ),
        **_state(request, found),
    )


def _first_charts(found: Model) -> tuple[str, ...]:
    return (
        ("error", "values") if found.flavor == "regression" else ("error",) if model_charts.has_numbers(found) else ()
    )


def _parts(found: Model) -> tuple[str, ...]:
    if not model_charts.has_numbers(found):
        return ("skipped",)
    if found.flavor in model_charts.CLASSES:
        return ("segments", "drift", "skipped") if found.stream.segment else ("drift", "skipped")
    return tuple(part for part in PARTS if part != "segments" or found.stream.segment)


def part(request: HttpRequest, name: str, part: str) -> HttpResponse:
    """GET: one part of the page, for the script that loads it when it is scrolled to."""
    found = parameters.find_model(request, name)
    if part == "verification":
        return page(request, "model_verification", model=found, verification=_verification(found))
    if part == "moment":
        return page(request, "model_moment", model=found, extent=reading.extent(found), **_state(request, found))
    if part == "brushed" and "residuals" in _parts(found):
        return page(request, "model_brushed", model=found, content=_brushed(request, found))
    if part not in PARTS:
        raise NotFound(f"no part named {part!r:.50}")
    return page(request, f"model_{_template(part)}", model=found, part=part, content=_part(request, found, part))


def _template(part: str) -> str:
    return "chart" if part in model_charts.CHARTS else part


def verify(request: HttpRequest, name: str) -> HttpResponse:
    """POST: ask for a verification."""
    found = parameters.find_model(request, name)
    caller = caller_of(request)
    verifications.ask(found, "" if caller is None else caller.username)
    return to(f"/models/{quote(found.name, safe='')}/#verification")


def chart(request: HttpRequest, name: str, chart: str) -> HttpResponse:
    """GET: a chart's data as JSON or CSV."""
    found = parameters.find_model(request, name)
    if chart not in (*_first_charts(found), *_parts(found)) or chart not in model_charts.CHARTS:
        if chart != "segments" or chart not in _parts(found):
            raise NotFound(f"model {name} has no chart named {chart!r:.50}")
        return charts.respond(request, segment_charts.export(found, _latest(request, found)))
    return charts.respond(request, model_charts.make(chart, request, found))


def _latest(request: HttpRequest, found: Model) -> Columns | None:
    return calibration.read(found, parameters.whole(request, "first"), parameters.whole(request, "last"))


def _part(request: HttpRequest, found: Model, part: str) -> dict[str, Any]:
    try:
        if part in model_charts.CHARTS:
            content: dict[str, Any] = {"chart": model_charts.make(part, request, found)}
            if part == "residuals":
                content |= {"features": _features(found), "feature": request.GET.get("feature", ""), **_range(request)}
                content |= _brushed(request, found)
            return content
        if part == "segments":
            curve = parameters.choice(request, "curve", segment_charts.CURVES, "rmse")
            order = parameters.choice(request, "order", segment_charts.ORDERS, "worst")
            return {
                **segment_charts.small(found, _latest(request, found), curve, order),
                "curve": curve,
                "order": order,
                "curves": None if found.flavor in model_charts.CLASSES else segment_charts.CURVES.items(),
                "orders": segment_charts.ORDERS.items(),
                "csv": charts.url(f"/models/{quote(found.name)}/charts/segments/", request, ("first", "last")),
                **_range(request),
            }
        if part == "drift":
            last = parameters.whole(request, "last")
            return {"culprit": drift.culprit(found, parameters.whole(request, "first"), last)}
        return {"skips": _skips(found)}
    except Unreadable as exc:
        return {"trouble": f"A part of the record can't be read: {exc}. The server makes it again from the log."}
    except Invalid as exc:
        return {"trouble": exc.message}


def _brushed(request: HttpRequest, found: Model) -> dict[str, Any]:
    brush = brushing.chosen(request, found)
    count = brush.get("count", 0)
    return {
        "brush": brush,
        "said": f"{number(count)} observation{'' if count == 1 else 's'}. Nothing changes by a rehearsal.",
    }


def _range(request: HttpRequest) -> dict[str, Any]:
    """The range of the page, for forms that keep it."""
    return {"kept": [(name, request.GET[name]) for name in model_charts.RANGE if request.GET.get(name)]}


def _features(found: Model) -> list[str]:
    """Names of features with numbers, from the stream's declaration or its newest observations."""
    declared = found.stream.features
    if declared:
        return [name for name, kind in declared.items() if kind == "number"][:200]
    names: dict[str, None] = {}
    for xs, _ in log.sample(found.stream_id):
        for x in xs:
            names |= {
                name: None
                for name, value in (x or {}).items()
                if isinstance(value, (int, float)) and not isinstance(value, bool)
            }
    return list(names)[:200]


def _skips(found: Model) -> list[dict[str, Any]]:
    """The newest observations of the log that the model skipped, and why; of the last 20,000."""
    own: list[dict[str, Any]] = []
    head = found.stream.head
    for span in log.spans(found.stream_id, max(found.since, found.stream.whole_after, head - model_charts.LATEST)):
        for offset, why in span.skipped.get(found.pk, {}).items():
            own.append({"n": span.first + offset, "reason": why})
        own = own[-MOST_SKIPS:]
    return own[::-1]


def _verification(found: Model) -> Verification | None:
    return Verification.objects.filter(model=found).first()


def _state(request: HttpRequest, found: Model) -> dict[str, Any]:
    """The state of the model, now or as of the observation ``n`` of the URL."""
    n = parameters.whole(request, "n", least=0)
    status = ModelStatus.objects.filter(model=found, generation=found.generation).first()
    shown: dict[str, Any] = {
        "n": n,
        "watched": status,
        "quarantine": quarantine.current(found) if found.status == Model.QUARANTINED else None,
        "snapshots": Snapshot.objects.filter(model=found, generation=found.generation)
        .order_by("seq")
        .values_list("seq", "at"),
        "newest_snapshot": Snapshot.objects.filter(model=found).aggregate(last=Max("seq"))["last"],
    }
    key = caller_key(request)
    try:
        shown["state"] = inspection.state(found.name, n, key)
        shown["metrics"] = inspection.metrics(found.name, at=n, key=key) if "estimator" in shown["state"] else None
    except TailraceError as exc:
        if isinstance(exc, Invalid):
            raise
        shown["trouble"] = exc.message
    if n is None:
        shown["stats"] = call_stats.read(found.pk)
    return shown
