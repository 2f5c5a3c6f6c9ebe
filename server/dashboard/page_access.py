"""Access control of the pages, by the permissions that the URL configuration declares."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase

from server.accounts import limits, roles, sessions
from server.accounts.access import API_PREFIXES, PUBLIC, SIGNED_IN
from server.core.errors import Forbidden
from server.dashboard import errors


class PageAccess:
    """Middleware that checks the permission for each page, and answers if it is missing.

    It sets ``request.caller`` to the person who is signed in; None if nobody is, or with ``AUTH=open``. It reads the person
    from the database for every page, so that changed roles and ended sign-ins take effect at once.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if (
            response.status_code == HTTPStatus.NOT_FOUND
            and request.resolver_match is None
            and isinstance(response, HttpResponse)
            and "text/html" in request.headers.get("Accept", "")
            and not request.path_info.startswith(API_PREFIXES)
        ):
            response = errors.respond(Http404(), request)  # a person's browser asks, not a program
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Return None if the view may run, or the response to send instead."""
        if request.path_info.startswith(API_PREFIXES):
            return None
        try:
            return admit(request, getattr(view, "access", None) or {})
        except Exception as exc:  # Django calls process_exception for views only
            return errors.respond(exc, request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the error page of an exception in a view."""
        return None if request.path_info.startswith(API_PREFIXES) else errors.respond(exception, request)


def admit(request: HttpRequest, access: dict[str, str]) -> HttpResponse | None:
    """Return None if the view may run, or the response to send instead: a redirect to sign in, or "method not allowed".

    Raises
    ------
    Forbidden
        If the person lacks the permission, or if no permission is declared for the path, which is a bug.
    TooMany
        If the page is public and too many requests came from the address.
    DatabaseError
        If the database fails.
    """
    method = "GET" if request.method == "HEAD" else str(request.method)
    if not access:
        raise Forbidden(f"{request.path} has no access declaration: this is a bug of the server")
    if method not in access:
        return errors.explained(
            request,
            HttpResponseNotAllowed([*access]),
            f"{request.path} doesn't support {request.method}, only {', '.join(access)}.",
        )
    needed = access[method]
    if needed == PUBLIC:
        limits.admit_anonymous(request)
        return None
    if settings.TAILRACE.auth == "open":
        return None
    caller = sessions.caller_of(request)
    if caller is None:
        return to_sign_in(request, access)
    request.caller = caller  # type: ignore[attr-defined]
    if needed != SIGNED_IN and needed not in caller.permissions:
        raise Forbidden(missing(request.user, needed))
    return None


def to_sign_in(request: HttpRequest, access: dict[str, str]) -> HttpResponse:
    """Return a redirect to the sign-in page, and from there back to this page if the request was a GET.

    A script that refreshes a part of a page is told to load the whole page, which then leads to the sign-in page.
    """
    if sessions.KEY in request.session:
        request.session.flush()  # the person is blocked, or their sign-in has ended
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(
            status=HTTPStatus.NO_CONTENT, headers={"HX-Refresh": "true"}
        )  # a live part: load the page anew
    is_page = request.method in ("GET", "HEAD")
    to = f"{settings.LOGIN_URL}?{urlencode({'next': request.get_full_path()})}" if is_page else settings.LOGIN_URL
    return HttpResponseRedirect(to, status=HTTPStatus.FOUND if is_page else HTTPStatus.SEE_OTHER)


def missing(user: Any, needed: str) -> str:
    """Return the message for a person who lacks the permission for a page."""
    least = next(role for role in roles.ROLES if needed in roles.permissions_of_role(role))
    return (
        f"This page needs the permission “{needed}”, which the role {least} has. You are signed in as "
        f"{user.username}, {roles.role_of(user) or 'without a role'}. Ask an admin for the role."
    )
