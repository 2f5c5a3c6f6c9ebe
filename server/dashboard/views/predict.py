"""The page that predicts: a form of the stream's features, several models, a curve over one feature, commands to copy."""

from functools import partial
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse

from server.core.errors import Invalid, NotFound
from server.dashboard import asked, charts, feature_form, parameters, snippets
from server.dashboard.charts import Chart
from server.dashboard.feature_form import FeatureForm
from server.dashboard.rendering import is_open, page
from server.learning.models import Model

LEVEL = 0.95
MOST_LISTED = 200


def predict(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page."""
    found = parameters.find_model(request, name)
    form = feature_form.read(request, found.stream)
    models = _models(request, found, form)
    context: dict[str, Any] = {
        "model": found,
        "form": form,
        "siblings": _siblings(found),
        "also": [one.name for one in models[1:]],
        "level": request.GET.get("level", ""),
        "sweep": request.GET.get("sweep", ""),
        "low": request.GET.get("from", ""),
        "high": request.GET.get("to", ""),
        "points": request.GET.get("points", ""),
        "default_level": LEVEL,
        "default_points": asked.POINTS,
    }
    status = 400 if form.is_wrong else 200
    if form.x and not form.is_wrong:
        try:
            level = _level(request)
            reads = partial(feature_form.may_read, request)
            answers = asked.at_point(models, form.x, level, reads)
            context |= {"answers": answers, "warnings": next((a.warnings for a in answers if a.warnings), [])}
            context |= {"percent": f"{100 * level:.4g}", "copies": _copies(request, found, form.x, level)}
            context["chart"] = _chart(request, models, form, level)
        except Invalid as exc:
            context["trouble"], status = exc.message, exc.status
    return page(request, "predict", status, **context)


def chart(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the curve over a feature as JSON or CSV."""
    found = parameters.find_model(request, name)
    form = feature_form.read(request, found.stream)
    wrong = next((one.error for one in form.features if one.error), form.more_error)
    if wrong:
        raise Invalid(wrong)
    made = _chart(request, _models(request, found, form), form, _level(request))
    if made is None:
        raise NotFound("no feature is chosen to draw a curve over: expected sweep=NAME")
    return charts.respond(request, made)


def _level(request: HttpRequest) -> float:
    return parameters.number(request, "level", LEVEL, least=0.01, most=0.9999)


def _siblings(found: Model) -> list[str]:
    there = Model.objects.filter(stream=found.stream_id).exclude(pk=found.pk).order_by("name")
    return list(there.values_list("name", flat=True)[:MOST_LISTED])


def _models(request: HttpRequest, found: Model, form: FeatureForm) -> list[Model]:
    """The page's model, and those that the URL names; a page that was just opened has the first others of the stream."""
    wanted = request.GET.getlist("also") if form.is_sent else _siblings(found)[:2]
    others = Model.objects.filter(stream=found.stream_id, name__in=wanted[:100]).exclude(pk=found.pk)
    listed = others.select_related("stream").defer("initial").order_by("name")
    return [found, *listed[: asked.MOST_MODELS - 1]]


def _chart(request: HttpRequest, models: list[Model], form: FeatureForm, level: float) -> Chart | None:
    name = request.GET.get("sweep", "")
    if not name:
        return None
    feature = next((one for one in form.features if one.name == name), None)
    if feature is None or (feature.kind and feature.kind != "number"):
        raise Invalid(f"sweep is {name[:80]!r}: expected a feature that is a number", field="sweep")
    low, high = _number(request, "from"), _number(request, "to")
    points = parameters.whole(request, "points", least=2, most=asked.MOST_POINTS) or asked.POINTS
    over = asked.sweep(feature, form.x, low, high, points)
    made = asked.curves(models, form.x, over, level, partial(feature_form.may_read, request))
    made.url = f"/models/{quote(models[0].name)}/predict/chart/?{request.GET.urlencode()}"
    return made


def _number(request: HttpRequest, name: str) -> float | None:
    text = request.GET.get(name, "").strip()
    if not text:
        return None
    value = feature_form.parsed(name, text, "number")
    if not isinstance(value, (int, float)) or abs(value) > 1e300:
        raise Invalid(f"{name} is {text[:50]!r}: expected a number", field=name)
    return value


def _copies(request: HttpRequest, found: Model, x: dict[str, Any], level: float) -> list[dict[str, str]]:
    address = request.build_absolute_uri("/")
    return [
        {"what": "curl", "text": snippets.curl(address, found.name, x, level, with_token=not is_open())},
        {"what": "tailrace", "text": snippets.predict(address, found.name, x, level)},
        {"what": "Python", "text": snippets.python(address, found.name, x, level)},
    ]
