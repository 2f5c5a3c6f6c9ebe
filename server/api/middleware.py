"""Middleware around every request: the request id, errors in one form, and fixed headers."""

import itertools
import os
import re
import secrets
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from server.accounts import addresses, current_request, limits
from server.api import large_bodies
from server.api.auth import GUARDED, Guard
from server.api.errors import respond
from server.api.request_checks import Intake
from server.api.slow_bodies import SlowBodies
from server.core.db.locks import close_if_hung_up, is_sqlite

NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'"
"""Content security policy of responses that aren't pages, in case a browser shows one. Pages have their own."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class Ids:
    """Request ids: a counter that starts at a random number in each process. A random number for each request costs more."""

    def __init__(self) -> None:
        self._owner = 0
        self._count = itertools.count()

    def next(self) -> str:
        if self._owner != os.getpid():
            self._owner, self._count = os.getpid(), itertools.count(secrets.randbits(64))
        return f"{next(self._count) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _nothing() -> None:
    """Used if there is no server, as in tests."""


def _is_unread(request: HttpRequest) -> bool:
    """Whether the request has a body that was not read."""
    return not request._read_started and request.META.get("CONTENT_LENGTH", "0") not in ("", "0")  # type: ignore[attr-defined]


class Envelope:
    """Gives each request an id (or keeps the caller's), answers errors in one form, and adds fixed headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.ids = Ids()
        self.renew = None if is_sqlite() else close_if_hung_up
        self.refusal = Intake().refusal
        self.has_proxies = bool(settings.TAILRACE.trusted_proxies)
        # If a response is sent before the body was read, granian closes the connection; gunicorn does so unless all of the body
        # has arrived. Without this header the client would send the next request on a closed connection.
        self.hangs_up = settings.TAILRACE.server == "granian"
        self.slow_bodies = SlowBodies(settings.TAILRACE.threads) if self.hangs_up else None

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = given if given and _ID.match(given) else self.ids.next()  # type: ignore[attr-defined]
        current_request.request.set(request)
        if self.renew is not None:
            self.renew()
        if self.has_proxies:
            addresses.apply_forwarded_scheme(request)
        if self.slow_bodies is not None and request.META.get("CONTENT_LENGTH", "0") not in ("", "0"):
            self.slow_bodies.watch(request)
        response = self.refusal(request)
        if response is None:
            # The middleware between this one and the guard is for pages: sessions, forms, headers of pages.
            response = (Guard.shortcut if request.path_info.startswith(GUARDED) else self.get_response)(request)
        limits.release(request)
        large_bodies.leave()
        current_request.request.set(None)  # so that an idle thread doesn't keep the body of its last request
        headers = response.headers
        headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        headers["X-Content-Type-Options"] = "nosniff"
        if _is_unread(request):
            if self.hangs_up:
                headers["Connection"] = "close"
            else:
                getattr(request.META.get("gunicorn.socket"), "close_unless_read", _nothing)()
        if request.method == "GET" and request.path_info.startswith(GUARDED):
            headers.setdefault("Content-Security-Policy", NOTHING_RUNS)
        if not response.streaming and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        return respond(exception, request)
