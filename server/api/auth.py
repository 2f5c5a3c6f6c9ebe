"""Authentication: credentials in the Authorization header, and the middleware that checks permissions for every address."""

import base64
import binascii
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.accounts import credential_cache, jwt, last_used, limits, tokens
from server.accounts.access import API_PREFIXES, PUBLIC, SIGNED_IN
from server.accounts.caller import Caller
from server.accounts.roles import COMPUTE
from server.api.errors import request_id, respond
from server.core.db.locks import to_unavailable
from server.core.errors import Conflict, Forbidden, Unauthenticated

logger = logging.getLogger(__name__)

GUARDED = API_PREFIXES
HANDSHAKE = "/api/auth/token/"
CHANGES = frozenset(("learn", "create", "change_own", "change_any", "retract", "approve", "manage_clusters", "compute"))
"""Permissions that nobody has on a server with a frozen model."""


class Challenge(Unauthenticated):
    """No valid credential. The response has the address that issues access tokens."""

    def __init__(self, message: str, request: HttpRequest, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        # The riverapi client finds both values by name; it sends a GET with Basic user:token to the realm.
        service = f"{request.scheme}://{request.get_host()}"
        self.headers = {"Www-Authenticate": f'realm="{service}{HANDSHAKE}",service="{service}"'}


class Guard:
    """Middleware that checks the permissions that the URL configuration declares (:mod:`server.accounts.access`).

    It sets ``request.caller``: the caller with a valid credential, or None if the server is open. It is the last middleware,
    so that :class:`server.api.middleware.Envelope` can call it directly for requests to the API.
    """

    shortcut: Callable[[HttpRequest], HttpResponseBase]
    """Calls the views of the API directly, without the middleware for pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        Guard.shortcut = staticmethod(get_response)  # type: ignore[assignment]
        self.is_open = (
            settings.TAILRACE.auth == "open"
        )  # read once, because each access to Django's settings takes 2 µs
        self.is_frozen = settings.TAILRACE.frozen_model is not None
        limits.configure(settings.TAILRACE)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Return None if the request may pass, else the response."""
        request.caller = None  # type: ignore[attr-defined]
        if not request.path_info.startswith(GUARDED):
            return None
        try:
            needed = needs(request, view)
            if self.is_frozen and needed in CHANGES:
                raise Conflict(
                    "this server has a frozen copy of a model: it predicts, but does not learn or change anything",
                    code="frozen",
                )
            if needed is PUBLIC:
                if request.path_info != HANDSHAKE:  # which counts only invalid credentials
                    limits.admit_anonymous(request)
            elif self.is_open and needed != COMPUTE:  # an agent's token also says which cluster it is
                check_origin(request)
            else:
                request.needed = needed  # type: ignore[attr-defined]
                identity = admit(
                    request, needed, may_be_stale=view.is_hot and request.method == "POST", watches=view.watches
                )
                request.caller = identity  # type: ignore[attr-defined]
                limits.count_caller(identity)
        except Exception as exc:  # process_exception is called for views only
            return respond(exc, request)
        return None


def check_origin(request: HttpRequest) -> None:
    """Check that a request to an open server doesn't come from a web page of another origin.

    Raises
    ------
    Forbidden
        If it does.
    """
    origin = request.META.get("HTTP_ORIGIN")
    if origin is not None and origin.partition("://")[2] != request.get_host():
        raise Forbidden(
            f"the request came from a page of another origin, {origin}, which may not use this server", code="origin"
        )


def needs(request: HttpRequest, view: Any) -> str:
    """Return the permission that a request needs.

    Raises
    ------
    Forbidden
        If the address declares no permissions. That is a bug, and must not give access.
    """
    access: dict[str, str] | None = getattr(view, "access", None)
    if not access:
        raise Forbidden(f"{request.path} is closed: it declares no permission")
    method = str(request.method)
    return access.get("GET" if method == "HEAD" else method, SIGNED_IN)  # the view refuses methods that it doesn't have


def admit(request: HttpRequest, needed: str, *, may_be_stale: bool = False, watches: bool = False) -> Caller:
    """Return the caller, if they have the permission.

    Parameters
    ----------
    may_be_stale
        Accept a cached caller; the view then compares it with the current generation.
    watches
        Accept a cached caller while the database is unavailable.

    Raises
    ------
    Challenge
        If there is no credential, or if it isn't valid.
    Forbidden
        If it is valid, but lacks the permission.
    DatabaseError
        If the database is unavailable.
    """
    scheme, credential = _authorization(request)
    if scheme != "bearer":
        raise refusal(request)
    if may_be_stale:
        identity = credential_cache.cached(credential)
        if identity is not None and needed in identity.permissions:
            return identity
    try:
        identity = credential_cache.verify(credential)
    except (DatabaseError, InterfaceError) as exc:
        identity = credential_cache.cached(credential) if watches else None
        if identity is None:
            raise
        to_unavailable(exc)
    if identity is None:
        raise refusal(request)
    last_used.mark(identity)
    is_open_to_all = (
        needed is SIGNED_IN and identity.cluster_id is None
    )  # an agent reaches its own cluster's work alone
    if not is_open_to_all and needed not in identity.permissions:
        limits.count_caller(identity)
        raise not_allowed(identity, needed)
    return identity


def not_allowed(identity: Caller, needed: str) -> Forbidden:
    """Return the error for a caller without a permission. It says what they have."""
    if identity.token_id:
        hint = f"token {identity.token_id} has " + (", ".join(sorted(identity.permissions)) or "no permissions")
    else:
        hint = "an admin can give them another role"
    return Forbidden(f"{identity.username} may not do this: it needs the permission {needed!r}; {hint}")


def identify_basic(request: HttpRequest) -> Caller | None:
    """Return the caller of ``Authorization: Basic`` with ``user:token``, which only the handshake accepts."""
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
    """Return the error for a missing or invalid credential. It never contains the credential.

    Raises
    ------
    TooMany
        If too many invalid credentials came from the caller's address.
    """
    scheme, credential = _authorization(request)
    if not scheme:
        return Challenge(
            "a credential is missing: send 'Authorization: Bearer TOKEN', or set RIVER_ML_USER and RIVER_ML_TOKEN for "
            "riverapi; `manage.py create_token USER` creates a token",
            request,
        )
    logger.info("request %s: the credential was refused", request_id(request))
    if not jwt.was_issued(credential):  # clients use an access token until it expires, and then get the next one
        limits.count_anonymous(request, "credentials")
    wanted = "basic" if request.path_info == HANDSHAKE else "bearer"
    if scheme != wanted:
        hint = f"GET {HANDSHAKE} accepts Basic user:token, every other address 'Authorization: Bearer TOKEN'"
        return Challenge(f"expected another kind of credential: {hint}", request)
    return Challenge(
        "the credential is not valid: it is malformed, unknown, expired or revoked, or its user is blocked or has another "
        "name; check it, or create a new token",
        request,
        code="invalid_credential",
    )


def _authorization(request: HttpRequest) -> tuple[str, str]:
    """Return the scheme in lower case, and the credential."""
    scheme, _, credential = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    return scheme.lower(), credential.strip()
