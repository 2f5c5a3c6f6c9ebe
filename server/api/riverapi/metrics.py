"""Views of the riverapi protocol for metrics and call statistics, in the formats of django-river-ml."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from server.api import caller
from server.api.codec import answer
from server.api.riverapi.request import model_name
from server.learning import inspection, registry
from server.learning.metrics import call_stats

REGRESSION = ("MAE", "RMSE", "SMAPE")
"""Metrics of a regression in django-river-ml. The native API returns more."""


def shape(flavor: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return a model's metrics in the format of django-river-ml."""
    return {name: values[name] for name in REGRESSION} if flavor == "regression" else values


def metrics(request: HttpRequest) -> HttpResponse:
    """GET /api/metrics/. Returns the prequential metrics of one model."""
    name = model_name(request)
    caller.check_model(request, name)
    found = inspection.metrics(name)
    return answer(shape(found["flavor"], found["metrics"]))


def calls(request: HttpRequest) -> HttpResponse:
    """GET /api/stats/. Returns the number of successful predict and learn calls, and their durations."""
    name = model_name(request)
    caller.check_model(request, name)
    return answer(call_stats.read(registry.find(name).pk))
