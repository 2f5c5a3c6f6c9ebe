"""The account page of a person: role, permissions, quotas, password, sign-ins."""

from typing import Any

from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse

from server.accounts import passwords, roles, sessions, signins, users
from server.core.errors import Invalid, NotFound, TailraceError, Unauthenticated
from server.dashboard import permissions
from server.dashboard.rendering import page, person, refused, to, visitor
from server.streams.quotas import quota_usage

HERE = "/account/"


def account(request: HttpRequest) -> HttpResponse:
    """GET: the account page."""
    return page(request, "account", **_shown(request))


def password(request: HttpRequest) -> HttpResponse:
    """POST: change the password. This ends all sign-ins of the person; this browser is signed in again."""
    user = person(request)
    old, new = request.POST.get("old_password", ""), request.POST.get("new_password", "")
    try:
        if new != request.POST.get("repeated_password", ""):
            raise Invalid("the two new passwords differ: enter the same password twice", field="repeated_password")
        try:
            user = passwords.verify(request, user.username, passwords.check_text(old, "old_password"))
        except Unauthenticated:
            raise Invalid("this is not your password", field="old_password") from None
        users.change_password(user, new, "new_password")
    except TailraceError as exc:
        return refused(request, "account", exc, **_shown(request))
    auth.login(request, user)
    messages.success(request, "Your password is changed. You are signed out everywhere else. Your tokens still work.")
    return to(HERE)


def end_sign_in(request: HttpRequest, number: int) -> HttpResponse:
    """POST: end one of the person's sign-ins."""
    found = users.working_sign_ins(person(request)).filter(pk=number).first()
    if found is None:
        raise NotFound(f"you have no active sign-in with the number {number}")
    if number == request.session.get(sessions.KEY):
        sessions.end(request)
        return to("/login/")
    signins.end(found, "ended by its user")
    messages.success(request, "The sign-in has ended.")
    return to(HERE)


def end_other_sign_ins(request: HttpRequest) -> HttpResponse:
    """POST: end all other sign-ins of the person."""
    user, this = person(request), request.session.get(sessions.KEY, 0)
    for found in users.working_sign_ins(user).exclude(pk=this):
        signins.end(found, "ended by its user")
    messages.success(request, "You are signed out everywhere else.")
    return to(HERE)


def _shown(request: HttpRequest) -> dict[str, Any]:
    user = visitor(request)
    if user is None:
        return {}
    return {
        "user": user,
        "role": roles.role_of(user),
        "abilities": permissions.described(user),
        "identities": user.external_identities.all(),  # type: ignore[attr-defined]
        "has_password": user.has_usable_password(),
        "sign_ins": users.working_sign_ins(user),
        "this": request.session.get(sessions.KEY),
        "uses": quota_usage.uses([user.pk])[user.pk],
        "near_tokens": quota_usage.tokens_near(user.pk),
    }
