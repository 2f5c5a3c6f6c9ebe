"""Sign-ins of people: a short-lived access token, and a refresh token that is replaced at each use.

If a refresh token is used a second time, it may have been copied, so the sign-in ends. Within :data:`GRACE` after the first
use it is only refused, because the same browser may have sent it twice.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from server.accounts import roles
from server.accounts.caller import Caller
from server.accounts.models import SignIn
from server.accounts.tokens import hash_of
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Unauthenticated

LIFETIME = timedelta(days=14)
"""How long a sign-in stays valid without being used."""

GRACE = timedelta(seconds=10)
_REFRESH = re.compile(r"trr_([0-9]{1,18})_[0-9a-f]{64}\Z", re.ASCII)
_READ = (
    "SELECT u.id, u.username, u.is_superuser, (SELECT value FROM streams_generation)"
    " FROM accounts_signin s JOIN auth_user u ON u.id = s.user_id"
    " WHERE s.id = %s AND u.is_active AND s.revoked_at IS NULL AND s.expires_at > %s"
)


def begin(user: User, *, address: str = "", agent: str = "") -> tuple[SignIn, str]:
    """Sign in an authenticated user. Return the sign-in and its first refresh token."""
    now = datetime.now(UTC)
    with transaction_for_writing():
        sign_in = SignIn.objects.create(
            user=user, hash="", expires_at=now + LIFETIME, address=address[:64], agent=agent[:200]
        )
        audit_signals.send("signin.begin", user.username, after={"sign_in": sign_in.pk, "agent": sign_in.agent})
        refresh = _renew(sign_in, now)
    return sign_in, refresh


def refresh(given: str) -> tuple[SignIn, str]:
    """Exchange a refresh token for the next one.

    Raises
    ------
    Unauthenticated
        If it is invalid. If it was used before, the sign-in ends.
    Conflict
        If it was used within :data:`GRACE`, as by another tab of the same browser.
    """
    found = _REFRESH.match(given)
    refused = Unauthenticated("the sign-in is no longer valid: sign in again", code="sign_in_ended")
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
            raise Conflict("this refresh token has just been used: use the new one from that response", code="rotated")
        _end(sign_in, "a refresh token was used twice")
    raise refused


def end(sign_in: SignIn, why: str = "signed out") -> None:
    """End a sign-in and all access tokens that were issued for it."""
    with transaction_for_writing():
        _end(sign_in, why)


def holder(given: str) -> SignIn | None:
    """Return the sign-in of a refresh token; None if the token is not its current one or the sign-in has ended."""
    found = _REFRESH.match(given)
    if found is None:
        return None
    sign_in = SignIn.objects.select_related("user").filter(pk=int(found[1]), hash=hash_of(given)).first()
    return sign_in if sign_in is not None and _works(sign_in, datetime.now(UTC)) else None


def verify_id(number: int) -> Caller | None:
    """Return the caller of the sign-in with this number; None if it has ended or its user is blocked."""
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(_READ, (number, now))
        row = cursor.fetchone()
    if row is None:
        return None
    user_id, username, is_superuser, generation = row
    permissions = roles.permissions_of(user_id, is_superuser=bool(is_superuser))
    return Caller(user_id, username, 0, permissions, generation=generation)


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
        audit_signals.send("signin.end", sign_in.user.username, after={"sign_in": sign_in.pk, "why": why})
