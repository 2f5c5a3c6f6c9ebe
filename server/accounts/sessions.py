"""People who signed in with a browser: each session is a sign-in (:mod:`server.accounts.signins`) without a refresh token.

So a session can be seen beside the others and ended like them, and it ends with its user's right to be here: whether it
still works is asked of the database for every page.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.http import HttpRequest

from server.accounts import addresses, roles, signins
from server.accounts.identity import Identity
from server.accounts.models import SignIn
from server.streams import changes
from server.streams.locks import transaction_for_writing

KEY = "sign_in"
"""Where a session keeps the number of its sign-in."""


PASSWORDS = "server.accounts.lockout.Passwords"
"""The backend that vouches for people by their password."""


def begin(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Note a sign-in that just succeeded: connected to Django's signal ``user_logged_in``."""
    earlier = request.session.get(KEY)
    now = datetime.now(UTC)
    with transaction_for_writing():
        if earlier is not None:
            _end(earlier, "signed in again")
        sign_in = SignIn.objects.create(
            user=user,
            hash="",  # which is no secret's hash: a session has no refresh token
            expires_at=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
            address=addresses.of(request)[:64],
            agent=str(request.META.get("HTTP_USER_AGENT", ""))[:200],
        )
        act_as(request, user)
        by = "password" if request.session.get(auth.BACKEND_SESSION_KEY) == PASSWORDS else "OpenID Connect"
        changes.tell("login", user.username, after={"sign_in": sign_in.pk, "by": by})
    request.session[KEY] = sign_in.pk
    request.session.set_expiry(None)  # as long as the settings say, whatever held before anybody was signed in
    request.session.clear_expired()


def identity(request: HttpRequest) -> Identity | None:
    """Who is signed in with this browser; None if nobody is, or their sign-in ended, or they were blocked."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    number = request.session.get(KEY)
    found = signins.verify_id(number) if isinstance(number, int) else None
    return found if found is not None and found.user_id == user.pk else None


def end(request: HttpRequest) -> None:
    """Sign this browser out."""
    number = request.session.get(KEY)
    if number is not None:
        _end(number, "signed out")
    auth.logout(request)


def act_as(request: HttpRequest, user: User) -> None:
    """Let what follows in this request be recorded as that user's doing: they have just shown who they are."""
    permissions = roles.permissions_of(user.pk, is_superuser=user.is_superuser)
    request.identity = Identity(user.pk, user.username, 0, permissions)  # type: ignore[attr-defined]


def _end(number: int, why: str) -> None:
    sign_in = SignIn.objects.select_related("user").filter(pk=number).first()
    if sign_in is not None:
        signins.end(sign_in, why)
