"""Who is calling: credentials in the Authorization header, and the guard in front of every address of the API."""

import base64
import binascii
import logging
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.accounts import jwt, tokens
from server.accounts.identity import Identity
from server.api.errors import request_id, respond
from server.streams.errors import Unauthenticated

logger = logging.getLogger(__name__)

GUARDED = "/api/"
HANDSHAKE = "/api/auth/token/"
PUBLIC = frozenset({GUARDED, HANDSHAKE, "/api/v1/schema/", "/api/v1/docs/"})
"""What anyone may GET: what this server is, how to call it, and the handshake, which checks for itself."""


class Challenge(Unauthenticated):
    """Refused, with the address where an access token is to be had."""

    def __init__(self, message: str, request: HttpRequest, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        # The riverapi client finds both values by name; it sends a GET with Basic user:token to the realm.
        service = f"{request.scheme}://{request.get_host()}"
        self.headers = {"Www-Authenticate": f'realm="{service}{HANDSHAKE}",service="{service}"'}


class Guard:
    """Middleware that lets in who shows a working credential, and sets ``request.identity`` (None for anyone)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.is_open = settings.TAILRACE.auth == "open"  # read once: each look at Django's settings takes 2 µs

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        identity = None
        if not self.is_open and not is_public(request):
            try:
                identity = require(request)
            except Exception as exc:  # process_exception hears of views alone
                return respond(exc, request)
        request.identity = identity  # type: ignore[attr-defined]
        return self.get_response(request)


def is_public(request: HttpRequest) -> bool:
    """Whether anyone may make this request."""
    path = request.path_info
    return not path.startswith(GUARDED) or (path in PUBLIC and request.method in ("GET", "HEAD"))


def identify(request: HttpRequest) -> Identity | None:
    """Who sends ``Authorization: Bearer`` with a token or an access token that holds; None for anybody else."""
    scheme, credential = _authorization(request)
    if scheme != "bearer":
        return None
    return tokens.verify(credential) if credential.startswith(tokens.PREFIX) else jwt.verify(credential)


def identify_basic(request: HttpRequest) -> Identity | None:
    """Who sends ``Authorization: Basic`` with ``user:token``, which the handshake alone takes."""
    scheme, credential = _authorization(request)
    if scheme != "basic":
        return None
    try:
        username, colon, secret = base64.b64decode(credential, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    identity = tokens.verify(secret) if colon else None
    return identity if identity is not None and identity.username == username else None


def require(request: HttpRequest) -> Identity:
    """Who is calling.

    Raises
    ------
    Challenge
        If no credential is shown, or the one shown doesn't hold.
    DatabaseError
        If the database can't say.
    """
    identity = identify(request)
    if identity is None:
        raise refusal(request)
    return identity


def refusal(request: HttpRequest) -> Challenge:
    """Why the caller was not let in and what to do about it. The credential itself is shown to nobody."""
    scheme, _ = _authorization(request)
    if not scheme:
        return Challenge(
            "this server wants to know who is calling: send 'Authorization: Bearer TOKEN', or set RIVER_ML_USER and "
            "RIVER_ML_TOKEN for riverapi; `manage.py create_token USER` makes a token",
            request,
        )
    logger.info("request %s: the credential was refused", request_id(request))
    wanted = "basic" if request.path_info == HANDSHAKE else "bearer"
    if scheme != wanted:
        hint = f"GET {HANDSHAKE} takes Basic user:token, every other address 'Authorization: Bearer TOKEN'"
        return Challenge(f"credentials of another kind were expected: {hint}", request)
    return Challenge(
        "the credential doesn't hold: it is malformed, unknown, expired or revoked, or its user is blocked or another; "
        "check it, or make a new token",
        request,
        code="invalid_credential",
    )


def _authorization(request: HttpRequest) -> tuple[str, str]:
    """The scheme, in lower case, and what follows it."""
    scheme, _, credential = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    return scheme.lower(), credential.strip()
