"""Sign-ins of people: a short access token, and a refresh token that is replaced whenever it is used.

A refresh token that comes a second time was copied: the sign-in ends, for whoever holds which copy. Only just after its
first use it is taken for the same browser asking twice at once, and refused without further ado.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from server.accounts import roles
from server.accounts.identity import Identity
from server.accounts.models import SignIn
from server.accounts.tokens import hash_of
from server.streams import changes
from server.streams.errors import Conflict, Unauthenticated
from server.streams.locks import transaction_for_writing

LIFETIME = timedelta(days=14)
"""How long a sign-in lasts without being used."""

GRACE = timedelta(seconds=10)
_REFRESH = re.compile(r"trr_([0-9]{1,18})_[0-9a-f]{64}\Z", re.ASCII)
_READ = (
    "SELECT u.id, u.username, u.is_superuser, (SELECT value FROM streams_generation)"
    " FROM accounts_signin s JOIN auth_user u ON u.id = s.user_id"
    " WHERE s.id = %s AND u.is_active AND s.revoked_at IS NULL AND s.expires_at > %s"
)


def begin(user: User, *, address: str = "", agent: str = "") -> tuple[SignIn, str]:
    """Sign a user in whose password or provider vouched for them: the sign-in and its first refresh token."""
    now = datetime.now(UTC)
    with transaction_for_writing():
        sign_in = SignIn.objects.create(
            user=user, hash="", expires_at=now + LIFETIME, address=address[:64], agent=agent[:200]
        )
        changes.tell("signin.begin", user.username, after={"sign_in": sign_in.pk, "agent": sign_in.agent})
        refresh = _renew(sign_in, now)
    return sign_in, refresh


def refresh(given: str) -> tuple[SignIn, str]:
    """Exchange a refresh token for the next one.

    Raises
    ------
    Unauthenticated
        If it doesn't hold. If it was used before, the sign-in ends.
    Conflict
        If it was used just now, by another tab of the same browser.
    """
    found = _REFRESH.match(given)
    refused = Unauthenticated("the sign-in doesn't hold any more: sign in again", code="sign_in_ended")
    if found is None:
        raise refused
    now = datetime.now(UTC)
    with transaction_for_writing():
        sign_in = SignIn.objects.select_for_update().select_related("user").filter(pk=int(found[1])).first()
        if sign_in is None or not _works(sign_in, now):
            raise refused
        if secrets.compare_digest(sign_in.hash, hash_of(given)):
            return sign_in, _renew(sign_in, now)
        if now - sign_in.refreshed_at < GRACE:
            raise Conflict("this refresh token was used just now: use the one that was answered", code="rotated")
        _end(sign_in, "a refresh token was used twice")
    raise refused


def end(sign_in: SignIn, why: str = "signed out") -> None:
    """End a sign-in, and every access token that was issued for it."""
    with transaction_for_writing():
        _end(sign_in, why)


def holder(given: str) -> SignIn | None:
    """The sign-in that a refresh token belongs to, if it is the one that works now."""
    found = _REFRESH.match(given)
    if found is None:
        return None
    sign_in = SignIn.objects.select_related("user").filter(pk=int(found[1]), hash=hash_of(given)).first()
    return sign_in if sign_in is not None and _works(sign_in, datetime.now(UTC)) else None


def verify_id(number: int) -> Identity | None:
    """Who signed in there; None if the sign-in ended or its user is blocked."""
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(_READ, (number, now))
        row = cursor.fetchone()
    if row is None:
        return None
    user_id, username, is_superuser, generation = row
    permissions = roles.permissions_of(user_id, is_superuser=bool(is_superuser))
    return Identity(user_id, username, 0, permissions, generation=generation)


def _works(sign_in: SignIn, now: datetime) -> bool:
    return sign_in.revoked_at is None and sign_in.expires_at > now and sign_in.user.is_active


def _renew(sign_in: SignIn, now: datetime) -> str:
    refresh = f"trr_{sign_in.pk}_{secrets.token_hex(32)}"
    sign_in.hash, sign_in.refreshed_at, sign_in.expires_at = hash_of(refresh), now, now + LIFETIME
    sign_in.save(update_fields=["hash", "refreshed_at", "expires_at"])
    return refresh


def _end(sign_in: SignIn, why: str) -> None:
    ended: Any = SignIn.objects.filter(pk=sign_in.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
    if ended:
        changes.tell("signin.end", sign_in.user.username, after={"sign_in": sign_in.pk, "why": why})
