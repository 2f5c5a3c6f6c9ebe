"""Helpers of the views: rendering, redirects, the caller."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from server.accounts import limits
from server.accounts.caller import Caller
from server.core.errors import Conflict, TailraceError, Unauthenticated


def page(request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
    """Render a template from ``templates/dashboard/``."""
    return render(request, f"dashboard/{template}.html", {"given": {}, "wrong": {}, **context}, status=status)


def refused(request: HttpRequest, template: str, error: TailraceError, **context: Any) -> HttpResponse:
    """Render a page with its form again, with the submitted values, and the error beside its field."""
    given = {name: value for name, value in request.POST.items() if "password" not in name}
    status = 400 if isinstance(error, Unauthenticated) else error.status  # a 401 must name an authentication scheme
    field = error.field or "form"
    wrong = {field: error.message.removeprefix(f"{field}: ")}
    response = page(request, template, status, given=given, wrong=wrong, **context)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def to(path: str) -> HttpResponse:
    """Return a redirect to another page, after a form was sent."""
    return HttpResponseRedirect(path, status=303)


def onward(wanted: str) -> str:
    """Return the path to go to after signing in: ``wanted`` if it is a path on this server, else the account page."""
    is_path = wanted.startswith("/") and not urlsplit(wanted.replace("\\", "/")).netloc
    safe = is_path and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if safe else settings.LOGIN_REDIRECT_URL


def caller_of(request: HttpRequest) -> Caller | None:
    """Return the caller who is signed in; None with ``AUTH=open``."""
    found: Caller | None = getattr(request, "caller", None)
    return found


def caller_key(request: HttpRequest) -> int | None:
    """Return the key that the caller's limits are counted by; None with ``AUTH=open``."""
    caller = caller_of(request)
    return None if caller is None else limits.key(caller)


def person(request: HttpRequest) -> User:
    """Return the user who is signed in.

    Raises
    ------
    Conflict
        With ``AUTH=open``, where nobody signs in.
    """
    found = visitor(request)
    if found is None:
        raise Conflict("this server is open (TAILRACE_AUTH=open): there are no accounts")
    return found


def visitor(request: HttpRequest) -> User | None:
    """Return the user who is signed in; None with ``AUTH=open``."""
    caller = caller_of(request)
    return None if caller is None else User.objects.get(pk=caller.user_id)


def is_open() -> bool:
    """Whether the server needs no sign-in (``AUTH=open``)."""
    return bool(settings.TAILRACE.auth == "open")
