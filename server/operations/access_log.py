"""Access log: a line for every request, if ``TAILRACE_ACCESS_LOG`` is set."""

import logging
from collections.abc import Callable
from time import perf_counter_ns
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.accounts import addresses

logger = logging.getLogger("server.access")


class AccessLog:
    """Middleware that logs requests. It leaves out the query, which may contain a secret."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.TAILRACE.access_log:
            raise MiddlewareNotUsed
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = perf_counter_ns()
        response = self._get_response(request)
        caller = getattr(request, "caller", None)
        match = request.resolver_match
        said = {
            "request_id": getattr(request, "request_id", "-"),
            "address": addresses.client_address(request) or "-",
            "user": "-" if caller is None else caller.username,
            "method": str(request.method),
            "path": quote(request.path),
            "route": "" if match is None else f"/{match.route}",
            "status": response.status_code,
            "bytes": None if response.streaming else len(response.content),  # type: ignore[attr-defined]
            "ms": round((perf_counter_ns() - began) / 1e6, 3),
        }
        logger.info(
            '%(address)s %(user)s "%(method)s %(path)s" %(status)s %(bytes)s bytes %(ms)s ms request %(request_id)s',
            said,
            extra={"said": said},
        )
        return response
