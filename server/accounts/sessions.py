"""Browser sessions. Each is a sign-in (:mod:`server.accounts.signins`) without a refresh token.

So it is listed and ended like other sign-ins. Each page checks in the database that its sign-in is still valid.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.http import HttpRequest

from server.accounts import addresses, roles, signins
from server.accounts.caller import Caller
from server.accounts.models import SignIn
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing

KEY = "sign_in"
"""Key in the session under which the number of its sign-in is stored."""


PASSWORDS = "server.accounts.lockout.Passwords"
"""Path of the backend that checks passwords."""


def begin(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Create the sign-in of a session. Receives Django's signal ``user_logged_in``."""
    earlier = request.session.get(KEY)
    now = datetime.now(UTC)
    with transaction_for_writing():
        if earlier is not None:
            _end(earlier, "signed in again")
        sign_in = SignIn.objects.create(
            user=user,
            hash="",  # a session has no refresh token
            expires_at=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
            address=addresses.client_address(request)[:64],
            agent=str(request.META.get("HTTP_USER_AGENT", ""))[:200],
        )
        set_caller(request, user)
        by = "password" if request.session.get(auth.BACKEND_SESSION_KEY) == PASSWORDS else "OpenID Connect"
        audit_signals.send("login", user.username, after={"sign_in": sign_in.pk, "by": by})
    request.session[KEY] = sign_in.pk
    request.session.set_expiry(None)  # the lifetime of the settings, not that of the anonymous session
    request.session.clear_expired()


def caller_of(request: HttpRequest) -> Caller | None:
    """Return the person signed in with this browser; None if nobody is, or the sign-in ended, or they are blocked."""
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


def set_caller(request: HttpRequest, user: User) -> None:
    """Make a user who has just authenticated the caller of this request, so that the audit trail names them."""
    permissions = roles.permissions_of(user.pk, is_superuser=user.is_superuser)
    request.caller = Caller(user.pk, user.username, 0, permissions)  # type: ignore[attr-defined]


def _end(number: int, why: str) -> None:
    sign_in = SignIn.objects.select_related("user").filter(pk=number).first()
    if sign_in is not None:
        signins.end(sign_in, why)
