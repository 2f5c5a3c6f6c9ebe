"""Tokens: made, verified, revoked.

A verification is one indexed read and nothing is cached, so a revocation, an expiry, a blocked or a deleted user
counts from the next request on, in every process and pod.
"""

import hashlib
import logging
import re
import secrets
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Q

from server.accounts.identity import Identity
from server.accounts.models import Token
from server.streams.errors import Invalid
from server.streams.validation import check_text, shown

logger = logging.getLogger(__name__)

PREFIX = "trc_"
"""What every secret begins with, so that secret scanners find one that leaked."""

SECRET = re.compile(PREFIX + r"[0-9a-f]{64}\Z", re.ASCII)
LONGEST_NAME = 100
USE_RESOLUTION = timedelta(minutes=1)

_READ = (
    "SELECT u.id, u.username, t.id FROM accounts_token t JOIN auth_user u ON u.id = t.owner_id"
    " WHERE t.{} = %s AND u.is_active AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > %s)"
)
_BY_HASH = _READ.format("hash")
_BY_ID = _READ.format("id")


def create(user: User, name: str, expires: datetime | None = None) -> tuple[Token, str]:
    """Make a token that acts as ``user``.

    Parameters
    ----------
    name
        What its owner calls it, 1 to 100 characters; two may share one, so that one can replace the other.
    expires
        When it stops working, with its time zone; None means never.

    Returns
    -------
    tuple
        The token and its secret, ``trc_`` and 256 random bits in hex, which can't be had again.

    Raises
    ------
    Invalid
        If the name is empty or too long, ``expires`` is not in the future, or the user is blocked.
    """
    check_text(name, "name", LONGEST_NAME)
    if not name.strip():
        raise Invalid(f"name is {shown(name)}: expected what the token is for, such as 'cluster jobs'", field="name")
    if expires is not None and (expires.tzinfo is None or expires <= datetime.now(UTC)):
        raise Invalid(f"expires is {expires}: expected a time in the future, with its time zone", field="expires")
    if not user.is_active:
        raise Invalid(f"user {user.username} is blocked, so no token of theirs would work", field="user")
    secret = PREFIX + secrets.token_hex(32)
    token = Token.objects.create(owner=user, name=name, hash=_hash(secret), expires_at=expires)
    return token, secret


def verify(secret: str) -> Identity | None:
    """Who the secret belongs to; None if it is malformed, unknown, expired or revoked, or its owner is blocked."""
    if not SECRET.match(secret):
        return None
    return _read(_BY_HASH, _hash(secret))


def verify_id(token_id: int) -> Identity | None:
    """Who the token of that number belongs to; None where :func:`verify` of its secret would be None."""
    return _read(_BY_ID, token_id)


def revoke(token: Token) -> bool:
    """Stop a token, and all that was issued for it, from working; False if it was revoked already."""
    revoked = Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
    token.refresh_from_db(fields=["revoked_at"])
    return revoked == 1


def note_use(identity: Identity) -> None:
    """Note that a token was used, to the minute. No caller is turned away because this could not be written."""
    now = datetime.now(UTC)
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_RESOLUTION)
    try:
        if Token.objects.filter(stale, pk=identity.token_id).exists():
            Token.objects.filter(pk=identity.token_id).update(last_used_at=now)
    except (DatabaseError, InterfaceError) as exc:
        logger.warning("the use of token %d could not be noted: %s", identity.token_id, exc)


def _hash(secret: str) -> str:
    """A plain SHA-256: 256 random bits leave nothing for a slow hash to protect."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(query: str, value: str | int) -> Identity | None:
    # The ORM builds this query in ten times the time that the database takes to answer it.
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(query, (value, now))
        row = cursor.fetchone()
    return None if row is None else Identity(*row)
