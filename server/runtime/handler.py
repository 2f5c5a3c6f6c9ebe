"""Django's request handler, with a cache of resolved URLs for the frequent requests."""

from functools import lru_cache
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch, get_resolver
from django.utils.log import log_response

HOT = ("/predict/", "/observations/", "/learn/")
"""Suffixes of the paths whose views are cached."""
LONGEST_REMEMBERED = 400
MOST_REMEMBERED = 1024


class Handler(WSGIHandler):
    """Caches the view of each path, because resolving a path takes as long as a prediction.

    All requests have the same URL configuration, so it isn't set per thread.
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
