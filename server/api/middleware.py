"""What wraps every request: an id to find it by, and one shape for whatever goes wrong."""

import itertools
import os
import re
import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from server.api.auth import GUARDED, Guard
from server.api.errors import respond
from server.streams.locks import is_sqlite, renew_if_hung_up

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class Ids:
    """Request ids: a random start in each process, and then a count, since asking the kernel each time costs more."""

    def __init__(self) -> None:
        self._owner = 0
        self._count = itertools.count()

    def next(self) -> str:
        if self._owner != os.getpid():
            self._owner, self._count = os.getpid(), itertools.count(secrets.randbits(64))
        return f"{next(self._count) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


class Envelope:
    """Gives each request an id (or keeps the caller's), answers errors in one shape, adds the fixed headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.ids = Ids()
        self.renew = None if is_sqlite() else renew_if_hung_up

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = given if given and _ID.match(given) else self.ids.next()  # type: ignore[attr-defined]
        if self.renew is not None:
            self.renew()
        # What stands between here and the guard is for pages: sessions, forms, their headers.
        response = (Guard.shortcut if request.path_info.startswith(GUARDED) else self.get_response)(request)
        headers = response.headers
        headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        headers["X-Content-Type-Options"] = "nosniff"
        if not response.streaming and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        return respond(exception, request)
