"""Django's handler of requests, without what it does anew for each of those that load is made of."""

from functools import lru_cache
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch, get_resolver
from django.utils.log import log_response

HOT = ("/predict/", "/observations/", "/learn/")
"""Endings of the addresses whose views are remembered."""
LONGEST_REMEMBERED = 400
MOST_REMEMBERED = 1024


class Handler(WSGIHandler):
    """Remembers which view an address has: to find it takes as long as to predict.

    All requests have the same URL configuration, so no thread is told of it.
    """

    def get_response(self, request: Any) -> HttpResponse:
        response: HttpResponse = self._middleware_chain(request)  # type: ignore[attr-defined]
        response._resource_closers.append(request.close)  # type: ignore[attr-defined]
        if response.status_code >= 400:
            log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)
        return response

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        path = request.path_info
        hot = path.endswith(HOT) and len(path) <= LONGEST_REMEMBERED
        match = request.resolver_match = _remembered(path) if hot else get_resolver().resolve(path)
        return match


@lru_cache(MOST_REMEMBERED)
def _remembered(path: str) -> ResolverMatch:
    return get_resolver().resolve(path)
