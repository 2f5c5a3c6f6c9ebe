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

from server.accounts.access import FOR_PROGRAMS
from server.api.codec import too_large
from server.api.errors import respond
from server.probes import PROBES
from server.streams.errors import Invalid, TailraceError, TooLarge

MOST_REMEMBERED = 64
METRICS = "/metrics"
SIGN_IN = "/api/v1/signin/"
"""Where anybody may send a body: it holds a name and a password, and no more."""
MOST_OF_A_FORM = 2**16
"""Bytes of a sign-in, and of a page's form, which is read before it is known who sent it."""
OLD = ("HTTP/1.0", "HTTP/1")
"""HTTP/1.0, which has no Host header, as gunicorn and granian call it: load balancers of old probe so."""


class LengthRequired(TailraceError):
    """The body's length wasn't announced."""

    status = 411
    code = "length_required"


def _is_form(path: str) -> bool:
    return not path.startswith(FOR_PROGRAMS) or path.startswith(SIGN_IN)


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
        length = int(meta.get("CONTENT_LENGTH") or 0)
        if (
            "HTTP_TRANSFER_ENCODING" not in meta
            and length <= self._most
            and (length <= MOST_OF_A_FORM or not _is_form(request.path_info))
            and meta.get("HTTP_HOST") in self._hosts
        ):
            return None
        try:
            self._check(request, length)
        except TailraceError as exc:
            response = respond(exc, request)
            # What follows on the connection may not be what its sender meant.
            response["Connection"] = "close"
            getattr(meta.get("gunicorn.socket"), "force_close", _nothing)()
            return response
        return None

    def _check(self, request: HttpRequest, length: int) -> None:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            raise LengthRequired("the body comes in chunks: send it whole, with a Content-Length")
        if length > self._most:
            raise too_large(request)
        if length > MOST_OF_A_FORM and _is_form(request.path_info):
            raise TooLarge(f"the body has {length} bytes: the most that {request.path_info} takes is {MOST_OF_A_FORM}")
        host = request.META.get("HTTP_HOST")
        if host == "" and not (request.path_info in PROBES and request.META.get("SERVER_PROTOCOL") in OLD):
            raise Invalid(
                "the request has no Host header, or an empty one: send the name or address that this server was called by",
                code="bad_host",
            )
        if request.path_info in self._by_address:  # whoever probes a server does so by its address
            return
        try:
            request.get_host()
        except DisallowedHost:
            raise Invalid(
                f"this server isn't called {host!r}: use a name that it knows, or add this one to TAILRACE_ALLOWED_HOSTS"
                if host
                else "the request has no Host header",
                code="bad_host",
            ) from None
        if host is not None and len(self._hosts) < MOST_REMEMBERED:
            self._hosts.add(host)
