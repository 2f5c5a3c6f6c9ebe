"""Counts and durations of requests, by route and status."""

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.core.metrics import declarations
from server.core.metrics.declarations import CounterSeries, HistogramSeries

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER = "other"
"""Label for unknown methods, and for calls that neither learn nor predict."""

NO_ROUTE = "(none)"
"""Label for unknown paths, and for requests that were refused before their path was resolved."""

TIMED = ("learn", "predict")
"""Permissions of the calls whose durations are counted separately."""


class Counting:
    """Outermost middleware that counts requests. It is disabled if ``TAILRACE_METRICS=off``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if settings.TAILRACE.metrics == "off":
            raise MiddlewareNotUsed
        self._get_response = get_response
        self._series: dict[tuple[str, str, int], tuple[CounterSeries, HistogramSeries]] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = perf_counter_ns()
        response = self._get_response(request)
        match = request.resolver_match
        method = str(request.method)
        key = (NO_ROUTE if match is None else match.route, method if method in METHODS else OTHER, response.status_code)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _series(key, match)
        series[0].add()
        series[1].observe((perf_counter_ns() - began) / 1e9)
        return response


def _series(key: tuple[str, str, int], match: Any) -> tuple[CounterSeries, HistogramSeries]:
    route, method, status = key
    needed = getattr(match.func, "access", {}).get(method) if match is not None else None
    call = needed if needed in TIMED else OTHER
    return (
        declarations.requests.labels("/" + route if match is not None else route, method, str(status)),
        declarations.request_seconds.labels(call),
    )
