"""The gate in front of the pages: who may see which, by what the URL configuration declares."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase

from server.accounts import limits, roles, sessions
from server.accounts.access import FOR_PROGRAMS, PUBLIC, SIGNED_IN
from server.dashboard import errors
from server.streams.errors import Forbidden


class Gate:
    """Middleware that lets people see the pages that are for them, and answers in their place where they may not.

    It sets ``request.identity`` to who is signed in; None where nobody is, or where nobody is asked (``AUTH=open``). It is
    looked up for every page, so a role that was taken away and a sign-in that was ended count at once.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Let the request pass (None), or answer it in the view's place."""
        if request.path_info.startswith(FOR_PROGRAMS):
            return None
        try:
            return admit(request, getattr(view, "access", None) or {})
        except Exception as exc:  # process_exception hears of views alone
            return errors.respond(exc, request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page that says what went wrong in a view."""
        return None if request.path_info.startswith(FOR_PROGRAMS) else errors.respond(exception, request)


def admit(request: HttpRequest, access: dict[str, str]) -> HttpResponse | None:
    """None if the request may pass; else the answer: to sign in first, or that the page doesn't take that method.

    Raises
    ------
    Forbidden
        If the person's role isn't enough, or nothing is declared for the address: a bug, which must not be an open door.
    TooMany
        If nobody is asked who they are, and too many requests came from their address.
    DatabaseError
        If the database can't say.
    """
    method = "GET" if request.method == "HEAD" else str(request.method)
    if not access:
        raise Forbidden(f"{request.path} is closed: nothing says who may use it")
    if method not in access:
        return errors.explained(
            request,
            HttpResponseNotAllowed([*access]),
            f"{request.path} doesn't take {request.method}, only {', '.join(access)}.",
        )
    needed = access[method]
    if needed == PUBLIC:
        limits.admit_stranger(request)
        return None
    if settings.TAILRACE.auth == "open":
        return None
    identity = sessions.identity(request)
    if identity is None:
        return to_sign_in(request, access)
    request.identity = identity  # type: ignore[attr-defined]
    if needed != SIGNED_IN and needed not in identity.permissions:
        raise Forbidden(missing(request.user, needed))
    return None


def to_sign_in(request: HttpRequest, access: dict[str, str]) -> HttpResponse:
    """To the page for signing in, and from there back to where the person wanted to go, if that can be gone to."""
    if sessions.KEY in request.session:
        request.session.flush()  # of a person who is blocked, or whose sign-in was ended
    is_page = request.method in ("GET", "HEAD")
    to = f"{settings.LOGIN_URL}?{urlencode({'next': request.get_full_path()})}" if is_page else settings.LOGIN_URL
    return HttpResponseRedirect(to, status=HTTPStatus.FOUND if is_page else HTTPStatus.SEE_OTHER)


def missing(user: Any, needed: str) -> str:
    """What a person lacks for a page, and who could give it to them."""
    least = next(role for role in roles.ROLES if needed in roles.permissions_of_role(role))
    return (
        f"This page needs the permission “{needed}”, which comes with the role {least}. You are signed in as "
        f"{user.username}, {roles.role_of(user) or 'without a role'}; an admin gives roles."
    )
