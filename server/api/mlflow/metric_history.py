"""MLflow's route of the points of a metric."""

from typing import Any

from django.http import HttpRequest

from server.api.mlflow import paging
from server.api.mlflow.messages import text, whole
from server.api.mlflow.routes import Given, Routes
from server.api.mlflow.runs import run_id, uid_of
from server.tracking import histories, runs
from server.tracking.models import LatestMetric
from server.tracking.models.names import LONGEST_KEY

ROUTES = Routes()
DEFAULT_RESULTS, MOST_RESULTS = 25_000, 50_000


@ROUTES.add(
    "GET",
    "metrics/get-history",
    "read",
    **run_id(),
    metric_key=text(LONGEST_KEY, required=True),
    max_results=whole(),
    page_token=text(),
)
def get_history(request: HttpRequest, given: Given) -> Any:
    """List the points of a metric by step, time and value. A page costs the same, however many come before it."""
    number = paging.check_number(given["max_results"], DEFAULT_RESULTS, MOST_RESULTS)
    key = given["metric_key"]
    metric = LatestMetric.objects.filter(run=runs.find(uid_of(given)), key=key).first()
    if metric is None:
        return {}
    page = histories.page(metric, number, given["page_token"] or None)
    shown = [{"key": key, "value": value, "timestamp": time_ms, "step": step} for step, time_ms, value in page.points]
    return paging.listed("metrics", shown, page.next)
