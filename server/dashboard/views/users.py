"""The pages of users, for moderators and admins. :mod:`server.accounts.users` checks who may change whom."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from server.accounts import passwords, roles, signins, tokens, users
from server.accounts.models import SignIn, Token
from server.core.errors import NotFound, TailraceError
from server.dashboard.rendering import caller_of, page, refused, to, visitor
from server.dashboard.views.tokens import working
from server.streams.quotas import quota_usage

PAGE = 50


def listed(request: HttpRequest) -> HttpResponse:
    """GET: users by name; ``q`` is a part of the name."""
    wanted = request.GET.get("q", "").strip().replace("\x00", "")
    found = User.objects.filter(username__icontains=wanted).order_by("username")
    shown = Paginator(found, PAGE).get_page(request.GET.get("page"))
    return page(request, "users", people=users.details(shown.object_list), shown=shown, q=wanted)


def create(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST: create a user, and show their password once."""
    if request.method != "POST":
        return page(request, "user_new", roles=list(roles.ROLES), given={"role": "researcher"})
    password = passwords.generate() if request.POST.get("with_password") else None
    try:
        user = users.create(request.POST.get("user", "").strip(), request.POST.get("role", ""), password)
    except TailraceError as exc:
        return refused(request, "user_new", exc, roles=list(roles.ROLES))
    if password is None:
        messages.success(request, f"User {user.username} is created, without a password.")
        return to(_address(user))
    return page(request, "password", 201, user=user, password=password, is_new=True)


def user(request: HttpRequest, name: str) -> HttpResponse:
    """GET: one user, and the possible changes."""
    return page(request, "user", **_shown(request, users.find(name)))


def block(request: HttpRequest, name: str) -> HttpResponse:
    """POST: block the user."""
    return _done(request, name, users.block, "{} is blocked: their tokens and sign-ins no longer work.")


def unblock(request: HttpRequest, name: str) -> HttpResponse:
    """POST: unblock the user."""
    return _done(request, name, users.unblock, "{} is unblocked: their tokens work again.")


def reset_password(request: HttpRequest, name: str) -> HttpResponse:
    """POST: reset the user's password, and show it once."""
    found = users.find(name)
    try:
        password = users.reset_password(found, visitor(request))
    except TailraceError as exc:
        return refused(request, "user", exc, **_shown(request, found))
    return page(request, "password", user=found, password=password, is_new=False)


def set_role(request: HttpRequest, name: str) -> HttpResponse:
    """POST: change the user's role."""
    role = request.POST.get("role", "")
    return _done(request, name, lambda found, by: users.set_role(found, role), f"The role of {{}} is now {role}.")


def revoke_token(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """POST: revoke a token of the user."""
    found = users.find(name)
    token = Token.objects.filter(pk=number, owner=found).first()
    if token is None:
        raise NotFound(f"user {found.username} has no token with the number {number}")
    tokens.revoke(token)
    messages.success(request, f"The token “{token.name}” (…{token.hint}) is revoked.")
    return to(_address(found))


def end_sign_in(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """POST: end a sign-in of the user."""
    found = users.find(name)
    sign_in = SignIn.objects.select_related("user").filter(pk=number, user=found).first()
    if sign_in is None:
        raise NotFound(f"user {found.username} has no sign-in with the number {number}")
    signins.end(sign_in, "ended by an admin")
    messages.success(request, "The sign-in has ended.")
    return to(_address(found))


def _done(request: HttpRequest, name: str, do: Any, said: str) -> HttpResponse:
    """Change a user, and redirect to their page; on an error, render the page with the message."""
    found = users.find(name)
    try:
        do(found, visitor(request))
    except TailraceError as exc:
        return refused(request, "user", exc, **_shown(request, users.find(name)))
    messages.success(request, said.format(found.username))
    return to(_address(found))


def _address(user: User) -> str:
    return f"/users/{user.username}/"


def _shown(request: HttpRequest, found: User) -> dict[str, Any]:
    caller, by = caller_of(request), visitor(request)
    manages = caller is None or "manage_users" in caller.permissions
    shown: dict[str, Any] = {
        "person": users.details([found])[0],
        "uses": quota_usage.uses([found.pk])[found.pk],
        "identities": found.external_identities.all(),  # type: ignore[attr-defined]
        "roles": list(roles.ROLES),
        "manages": manages,
        "is_oneself": by is not None and by.pk == found.pk,
        "outranks": by is None or manages or roles.rank(roles.role_of(found)) < roles.rank(roles.role_of(by)),
    }
    if manages:
        shown |= {"tokens": working(Token.objects.filter(owner=found)), "sign_ins": users.working_sign_ins(found)}
    return shown
