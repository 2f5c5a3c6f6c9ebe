"""Checks of a request before anything else: a known host name, and a ``Content-Length`` within the limit.

With a foreign host name, a web page could reach a server on its visitor's own machine (DNS rebinding). A body in chunks has no
length that could be compared with the limit before it is read. Two different lengths can smuggle a request past a proxy.
"""

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.accounts.access import API_PREFIXES
from server.api.codec import too_large
from server.api.errors import respond
from server.core.errors import Invalid, TailraceError, TooLarge
from server.core.probe_paths import PROBE_PATHS

MOST_REMEMBERED = 64
METRICS = "/metrics"
SIGN_IN = "/api/v1/signin/"
"""Address to which anyone may send a body. It contains a name and a password only."""
MOST_OF_A_FORM = 2**16
"""Largest size of a sign-in or a page's form, bytes. They are read before the sender is known."""
OLD = ("HTTP/1.0", "HTTP/1")
"""Names of HTTP/1.0 in gunicorn and granian. It has no Host header, and old load balancers use it for probes."""


class LengthRequired(TailraceError):
    """The request has a body, but no Content-Length."""

    status = 411
    code = "length_required"


def _is_form(path: str) -> bool:
    return not path.startswith(API_PREFIXES) or path.startswith(SIGN_IN)


def _nothing() -> None:
    """Used if the server obeys the header."""


class Intake:
    """Refuses requests before any other code handles them."""

    def __init__(self) -> None:
        self._most: int = settings.TAILRACE.max_body_bytes
        self._hosts: set[str] = set()
        # Prometheus uses the IP addresses of pods. With credentials, DNS rebinding is no danger: a browser doesn't send any.
        asks = settings.TAILRACE.auth == "required"
        self._by_address = PROBE_PATHS | {METRICS} if asks else PROBE_PATHS

    def refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        """Return the response to a request that is refused, which closes the connection; None for other requests."""
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
            # What follows on the connection may not be a request.
            response["Connection"] = "close"
            getattr(meta.get("gunicorn.socket"), "force_close", _nothing)()
            return response
        return None

    def _check(self, request: HttpRequest, length: int) -> None:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            raise LengthRequired("the body is sent in chunks: send it with a Content-Length instead")
        if length > self._most:
            raise too_large(request)
        if length > MOST_OF_A_FORM and _is_form(request.path_info):
            raise TooLarge(f"the body has {length} bytes: the most allowed for {request.path_info} is {MOST_OF_A_FORM}")
        host = request.META.get("HTTP_HOST")
        if host == "" and not (request.path_info in PROBE_PATHS and request.META.get("SERVER_PROTOCOL") in OLD):
            raise Invalid(
                "the request has no Host header, or an empty one: send the name or address that you use for this server",
                code="bad_host",
            )
        if request.path_info in self._by_address:  # probes use the server's IP address
            return
        try:
            request.get_host()
        except DisallowedHost:
            raise Invalid(
                f"{host!r} is not a known name of this server: use a known name, or add this one to TAILRACE_ALLOWED_HOSTS"
                if host
                else "the request has no Host header",
                code="bad_host",
            ) from None
        if host is not None and len(self._hosts) < MOST_REMEMBERED:
            self._hosts.add(host)
