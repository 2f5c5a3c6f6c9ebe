"""Who is calling: credentials in the Authorization header, and the guard in front of every address of the API."""

import base64
import binascii
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.accounts import callers, jwt, limits, tokens, uses
from server.accounts.access import FOR_PROGRAMS, PUBLIC, SIGNED_IN
from server.accounts.identity import Identity
from server.api.errors import request_id, respond
from server.streams.errors import Conflict, Forbidden, Unauthenticated
from server.streams.locks import give_up

logger = logging.getLogger(__name__)

GUARDED = FOR_PROGRAMS
HANDSHAKE = "/api/auth/token/"
CHANGES = frozenset(("learn", "create", "change_own", "change_any", "retract"))
"""Permissions for what a server with a frozen model does for nobody."""


class Challenge(Unauthenticated):
    """Refused, with the address where an access token is to be had."""

    def __init__(self, message: str, request: HttpRequest, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        # The riverapi client finds both values by name; it sends a GET with Basic user:token to the realm.
        service = f"{request.scheme}://{request.get_host()}"
        self.headers = {"Www-Authenticate": f'realm="{service}{HANDSHAKE}",service="{service}"'}


class Guard:
    """Middleware that lets in who may come in, by what the URL configuration declares (:mod:`server.accounts.access`).

    It sets ``request.identity``: whoever shows a working credential, or None where nobody is asked. It stands last, so that
    :class:`server.api.middleware.Envelope` can send calls of the API straight to it.
    """

    shortcut: Callable[[HttpRequest], HttpResponseBase]
    """The way to the views for calls of the API, past the middleware that is for pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        Guard.shortcut = staticmethod(get_response)  # type: ignore[assignment]
        self.is_open = settings.TAILRACE.auth == "open"  # read once: each look at Django's settings takes 2 µs
        self.is_frozen = settings.TAILRACE.frozen_model is not None
        limits.begin(settings.TAILRACE)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Let the request pass (None), or answer it in the view's place."""
        request.identity = None  # type: ignore[attr-defined]
        if not request.path_info.startswith(GUARDED):
            return None
        try:
            needed = needs(request, view)
            if self.is_frozen and needed in CHANGES:
                raise Conflict(
                    "this server has a frozen copy of a model: it predicts, and neither learns nor changes anything",
                    code="frozen",
                )
            if needed is PUBLIC:
                if request.path_info != HANDSHAKE:  # which counts those alone whose credential doesn't hold
                    limits.admit_stranger(request)
            elif self.is_open:
                check_origin(request)
            else:
                request.needed = needed  # type: ignore[attr-defined]
                identity = admit(
                    request, needed, may_be_stale=view.is_hot and request.method == "POST", watches=view.watches
                )
                request.identity = identity  # type: ignore[attr-defined]
                limits.count_caller(identity)
        except Exception as exc:  # process_exception hears of views alone
            return respond(exc, request)
        return None


def check_origin(request: HttpRequest) -> None:
    """Refuse what a page of another origin has somebody's browser send to a server that asks nobody who they are.

    Raises
    ------
    Forbidden
        Then.
    """
    origin = request.META.get("HTTP_ORIGIN")
    if origin is not None and origin.partition("://")[2] != request.get_host():
        raise Forbidden(
            f"this came from a page of another origin, {origin}, which may not use this server", code="origin"
        )


def needs(request: HttpRequest, view: Any) -> str:
    """The permission that a request needs.

    Raises
    ------
    Forbidden
        If the address declares none for any method: a bug, which must not be an open door.
    """
    access: dict[str, str] | None = getattr(view, "access", None)
    if not access:
        raise Forbidden(f"{request.path} is closed: nothing says who may use it")
    method = str(request.method)
    return access.get("GET" if method == "HEAD" else method, SIGNED_IN)  # the view says which methods it takes


def admit(request: HttpRequest, needed: str, *, may_be_stale: bool = False, watches: bool = False) -> Identity:
    """Who is calling, if they may.

    Parameters
    ----------
    may_be_stale
        Take what this process remembers of the caller: the view will hold it against the present generation.
    watches
        Take it where the database can't say.

    Raises
    ------
    Challenge
        If no credential is shown, or the one shown doesn't hold.
    Forbidden
        If it holds and isn't for this.
    DatabaseError
        If the database can't say.
    """
    scheme, credential = _authorization(request)
    if scheme != "bearer":
        raise refusal(request)
    if may_be_stale:
        identity = callers.remembered(credential)
        if identity is not None and needed in identity.permissions:
            return identity
    try:
        identity = callers.verified(credential)
    except (DatabaseError, InterfaceError) as exc:
        identity = callers.remembered(credential) if watches else None
        if identity is None:
            raise
        give_up(exc)
    if identity is None:
        raise refusal(request)
    uses.note(identity)
    if needed is not SIGNED_IN and needed not in identity.permissions:
        limits.count_caller(identity)
        raise not_allowed(identity, needed)
    return identity


def not_allowed(identity: Identity, needed: str) -> Forbidden:
    """Why a caller may not do something, and who could change that."""
    if identity.token_id:
        hint = f"neither do all tokens of theirs: token {identity.token_id} may " + (
            ", ".join(sorted(identity.permissions)) or "nothing"
        )
    else:
        hint = "an admin gives roles"
    return Forbidden(f"{identity.username} may not do this, which needs the permission {needed!r}; {hint}")


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


def refusal(request: HttpRequest) -> Challenge:
    """Why the caller was not let in and what to do about it. The credential itself is shown to nobody.

    Raises
    ------
    TooMany
        If too many credentials that don't hold came from the caller's address.
    """
    scheme, credential = _authorization(request)
    if not scheme:
        return Challenge(
            "this server wants to know who is calling: send 'Authorization: Bearer TOKEN', or set RIVER_ML_USER and "
            "RIVER_ML_TOKEN for riverapi; `manage.py create_token USER` makes a token",
            request,
        )
    logger.info("request %s: the credential was refused", request_id(request))
    if not jwt.was_issued(credential):  # clients hold theirs until they expire and then ask for the next one
        limits.count_stranger(request, "credentials")
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
