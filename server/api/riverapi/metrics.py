"""Metrics and stats over the riverapi protocol, in the shapes of django-river-ml."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from server.api import caller
from server.api.codec import answer
from server.api.riverapi.request import model_name
from server.learning import inspection, registry, stats

REGRESSION = ("MAE", "RMSE", "SMAPE")
"""What django-river-ml gives for a regression; the native API gives more."""


def shape(flavor: str, values: dict[str, Any]) -> dict[str, Any]:
    """A model's metrics as riverapi's users know them."""
    return {name: values[name] for name in REGRESSION} if flavor == "regression" else values


def metrics(request: HttpRequest) -> HttpResponse:
    """GET /api/metrics/: the prequential metrics of one model."""
    name = model_name(request)
    caller.check_model(request, name)
    found = inspection.metrics(name)
    return answer(shape(found["flavor"], found["metrics"]))


def calls(request: HttpRequest) -> HttpResponse:
    """GET /api/stats/: accepted calls of predict and learn, and how long they took."""
    name = model_name(request)
    caller.check_model(request, name)
    return answer(stats.read(registry.find(name).pk))
