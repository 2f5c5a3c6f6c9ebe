"""Signing in with a password, and signing out."""

from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse

from server.accounts import passwords, sessions
from server.dashboard.pages import is_open, onward, page, refused, to
from server.streams.errors import Conflict, TailraceError


def login(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST: sign in, and go on to where the person wanted to go."""
    if request.method != "POST":
        return page(request, "login", next=request.GET.get("next", ""))
    wanted = request.POST.get("next", "")
    try:
        if is_open():
            raise Conflict("this server is open (TAILRACE_AUTH=open): nobody needs to sign in")
        password = passwords.check_text(request.POST.get("password", ""), "password")
        user = passwords.verified(request, request.POST.get("username", "").strip(), password)
    except TailraceError as exc:
        return refused(request, "login", exc, next=wanted)
    auth.login(request, user)
    return to(onward(wanted))


def logout(request: HttpRequest) -> HttpResponse:
    """POST: sign this browser out."""
    request.identity = sessions.identity(request)  # type: ignore[attr-defined]
    sessions.end(request)
    request.identity = None  # type: ignore[attr-defined]
    messages.success(request, "You are signed out.")
    return to("/login/")
