"""Sign-in with a password, and sign-out."""

from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse

from server.accounts import passwords, sessions
from server.core.errors import Conflict, TailraceError
from server.dashboard.rendering import is_open, onward, page, refused, to


def login(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST: sign in, and redirect to the page that the person wanted."""
    if request.method != "POST":
        return page(request, "login", next=request.GET.get("next", ""))
    wanted = request.POST.get("next", "")
    try:
        if is_open():
            raise Conflict("this server is open (TAILRACE_AUTH=open): there is no need to sign in")
        password = passwords.check_text(request.POST.get("password", ""), "password")
        user = passwords.verify(request, request.POST.get("username", "").strip(), password)
    except TailraceError as exc:
        return refused(request, "login", exc, next=wanted)
    auth.login(request, user)
    return to(onward(wanted))


def logout(request: HttpRequest) -> HttpResponse:
    """POST: sign this browser out."""
    request.caller = sessions.caller_of(request)  # type: ignore[attr-defined]
    sessions.end(request)
    request.caller = None  # type: ignore[attr-defined]
    messages.success(request, "You are signed out.")
    return to("/login/")
