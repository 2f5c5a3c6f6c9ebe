"""Passwords: verification with lockout, and the rules for new passwords."""

import math
import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from server.accounts import lockout
from server.core.errors import Invalid, TooMany, Unauthenticated

LONGEST = 4096


def verify(request: HttpRequest, username: str, password: str) -> User:
    """Return the active user with this name and password.

    Time and message are the same for an unknown user as for a wrong password.

    Raises
    ------
    Unauthenticated
        If the user doesn't exist or is blocked, or if the password is wrong.
    TooMany
        If the user is locked out. Until ``retry_after`` has passed, the right password is refused, too.
    """
    user = authenticate(request, username=username, password=password)
    if lockout.is_locked_out(request):
        minutes = settings.TAILRACE.login_cooloff_minutes
        raise TooMany(
            f"too many failed attempts to sign in as this user from your address: try again in {minutes:g} minutes; tokens "
            "still work",
            retry_after=math.ceil(minutes * 60),
            code="locked_out",
        )
    if not isinstance(user, User):
        raise Unauthenticated("wrong user name or password, or the user is blocked: check both", code="wrong_password")
    return user


def check_text(value: Any, field: str) -> str:
    """Return the value if it is a string that can be hashed. No message shows it.

    Raises
    ------
    Invalid
        If it isn't.
    """
    if not isinstance(value, str):
        raise Invalid(f"{field} is not a string", field=field)
    if len(value) > LONGEST:
        raise Invalid(f"{field} has {len(value)} characters: the longest allowed is {LONGEST}", field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{field} contains a lone surrogate, which is not a character", field=field) from None
    return value


def check_new(value: Any, user: User, field: str = "password") -> str:
    """Return a new password for ``user`` if it follows ``AUTH_PASSWORD_VALIDATORS``.

    Raises
    ------
    Invalid
        If it doesn't. The message lists each broken rule.
    """
    password = check_text(value, field)
    try:
        validate_password(password, user)
    except ValidationError as exc:
        raise Invalid(f"{field}: {' '.join(exc.messages)}", field=field, code="weak_password") from None
    return password


def generate() -> str:
    """Return a password of 120 random bits."""
    return secrets.token_urlsafe(15)
