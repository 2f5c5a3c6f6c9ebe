"""Passwords: checked where repeated failures lock out, and held to the rules of the settings when they are set."""

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
from server.streams.errors import Invalid, TooMany, Unauthenticated

LONGEST = 4096


def verified(request: HttpRequest, username: str, password: str) -> User:
    """The active user whose password that is. The same is done and said for a wrong user as for a wrong password.

    Raises
    ------
    Unauthenticated
        If there is no such user with that password, or they are blocked.
    TooMany
        If that was tried too often: right or wrong, it counts for nothing until ``retry_after`` is over.
    """
    user = authenticate(request, username=username, password=password)
    if lockout.is_locked_out(request):
        minutes = settings.TAILRACE.login_cooloff_minutes
        raise TooMany(
            f"too many failed attempts to sign in as this user from here: try again in {minutes:g} minutes; tokens go on "
            "working",
            retry_after=math.ceil(minutes * 60),
            code="locked_out",
        )
    if not isinstance(user, User):
        raise Unauthenticated(
            "this user and this password don't go together, or the user is blocked: check both", code="wrong_password"
        )
    return user


def check_text(value: Any, field: str) -> str:
    """A password as it came in: a string, not too long to be hashed. It is shown in no message.

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
        raise Invalid(f"{field} holds a lone surrogate, which is no character", field=field) from None
    return value


def check_new(value: Any, user: User, field: str = "password") -> str:
    """A password that somebody chose for ``user``, held to ``AUTH_PASSWORD_VALIDATORS``.

    Raises
    ------
    Invalid
        Saying each rule that it breaks.
    """
    password = check_text(value, field)
    try:
        validate_password(password, user)
    except ValidationError as exc:
        raise Invalid(f"{field}: {' '.join(exc.messages)}", field=field, code="weak_password") from None
    return password


def random() -> str:
    """A password of 120 random bits."""
    return secrets.token_urlsafe(15)
