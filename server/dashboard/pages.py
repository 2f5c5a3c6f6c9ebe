"""What the views of the pages share."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from server.accounts.identity import Identity
from server.streams.errors import Conflict, TailraceError, Unauthenticated


def page(request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
    """A page from ``templates/dashboard/``."""
    return render(request, f"dashboard/{template}.html", {"given": {}, "wrong": {}, **context}, status=status)


def refused(request: HttpRequest, template: str, error: TailraceError, **context: Any) -> HttpResponse:
    """The page with its form once more: what was given, and what is wrong with it beside the field that it is about."""
    given = {name: value for name, value in request.POST.items() if "password" not in name}
    status = 400 if isinstance(error, Unauthenticated) else error.status  # a 401 would have to name a scheme
    field = error.field or "form"
    wrong = {field: error.message.removeprefix(f"{field}: ")}
    response = page(request, template, status, given=given, wrong=wrong, **context)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def to(path: str) -> HttpResponse:
    """To another page, after a form was sent."""
    return HttpResponseRedirect(path, status=303)


def onward(wanted: str) -> str:
    """Where a person wanted to go before they had to sign in, if that is a path on this server; else to their account."""
    is_path = wanted.startswith("/") and not urlsplit(wanted.replace("\\", "/")).netloc
    safe = is_path and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if safe else settings.LOGIN_REDIRECT_URL


def identity(request: HttpRequest) -> Identity | None:
    """Who is signed in; None where nobody is asked."""
    found: Identity | None = getattr(request, "identity", None)
    return found


def person(request: HttpRequest) -> User:
    """The user who is signed in.

    Raises
    ------
    Conflict
        Where the server asks nobody who they are, so there is nobody to be.
    """
    found = visitor(request)
    if found is None:
        raise Conflict("this server is open (TAILRACE_AUTH=open): nobody signs in, so there is no account to change")
    return found


def visitor(request: HttpRequest) -> User | None:
    """The user who is signed in; None where nobody is asked."""
    who = identity(request)
    return None if who is None else User.objects.get(pk=who.user_id)


def is_open() -> bool:
    """Whether the server asks nobody who they are."""
    return bool(settings.TAILRACE.auth == "open")
