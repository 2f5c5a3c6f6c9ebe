"""Requests, counted by route and status, and timed."""

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.streams import instruments
from server.streams.instruments import Count, Distribution

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER = "other"
"""Stands for every method that nobody has, and for calls that neither learn nor predict."""

NO_ROUTE = "(none)"
"""Stands for every address that there isn't, and for what was refused before anybody looked at its address."""

TIMED = ("learn", "predict")
"""Permissions that a call needs whose time is kept apart from that of all others."""


class Counting:
    """Middleware around all others; not there at all where nobody may read what it counts."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if settings.TAILRACE.metrics == "off":
            raise MiddlewareNotUsed
        self._get_response = get_response
        self._series: dict[tuple[str, str, int], tuple[Count, Distribution]] = {}

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


def _series(key: tuple[str, str, int], match: Any) -> tuple[Count, Distribution]:
    route, method, status = key
    needed = getattr(match.func, "access", {}).get(method) if match is not None else None
    call = needed if needed in TIMED else OTHER
    return (
        instruments.requests.of("/" + route if match is not None else route, method, str(status)),
        instruments.request_seconds.of(call),
    )
