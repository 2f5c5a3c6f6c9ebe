"""What a request must be like before anything else looks at it: for a host that is ours, and of a length that was announced
and is within the limit.

A host name that isn't ours is how a page in somebody's browser reaches a server on their own machine (DNS rebinding). A body
in chunks has no length to hold against the limit before it is read, and two lengths are how requests are smuggled past
a proxy; so there is one, ``Content-Length``.
"""

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.api.codec import too_large
from server.api.errors import respond
from server.probes import PROBES
from server.streams.errors import Invalid, TailraceError

MOST_REMEMBERED = 64
METRICS = "/metrics"


class LengthRequired(TailraceError):
    """The body's length wasn't announced."""

    status = 411
    code = "length_required"


def _nothing() -> None:
    """The server does as the header says."""


class Intake:
    """Refuses what nobody should look at."""

    def __init__(self) -> None:
        self._most: int = settings.TAILRACE.max_body_bytes
        self._hosts: set[str] = set()
        # Prometheus finds pods by their addresses; and where callers must show who they are, no browser does so for a page.
        asks = settings.TAILRACE.auth == "required"
        self._by_address = PROBES | {METRICS} if asks else PROBES

    def refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        """The answer to a request that isn't to be served, after which its connection ends; None for all others."""
        meta = request.META
        if (
            "HTTP_TRANSFER_ENCODING" not in meta
            and int(meta.get("CONTENT_LENGTH") or 0) <= self._most
            and meta.get("HTTP_HOST") in self._hosts
        ):
            return None
        try:
            self._check(request)
        except TailraceError as exc:
            response = respond(exc, request)
            # What follows on the connection may not be what its sender meant.
            response["Connection"] = "close"
            getattr(meta.get("gunicorn.socket"), "force_close", _nothing)()
            return response
        return None

    def _check(self, request: HttpRequest) -> None:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            raise LengthRequired("the body comes in chunks: send it whole, with a Content-Length")
        if int(request.META.get("CONTENT_LENGTH") or 0) > self._most:
            raise too_large(request)
        host = request.META.get("HTTP_HOST", "")
        if request.path_info in self._by_address:  # whoever probes a server does so by its address
            return
        try:
            request.get_host()
        except DisallowedHost:
            raise Invalid(
                f"this server isn't called {host!r}: use a name that it knows, or add this one to TAILRACE_ALLOWED_HOSTS"
                if host
                else "the request has no Host header, or more than one",
                code="bad_host",
            ) from None
        if len(self._hosts) < MOST_REMEMBERED:
            self._hosts.add(host)
