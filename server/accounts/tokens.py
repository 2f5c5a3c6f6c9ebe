"""Tokens: made, verified, rotated, revoked.

What a process remembers of a token holds for one :class:`server.streams.models.Generation`, which database triggers
count on with every change to a token, a user or a role: see :mod:`server.accounts.callers`.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Q

from server.accounts import roles
from server.accounts.identity import Identity
from server.accounts.models import Token
from server.streams import changes
from server.streams.codec import loads
from server.streams.errors import Conflict, Invalid
from server.streams.locks import transaction_for_writing
from server.streams.validation import check_name, check_text, shown

logger = logging.getLogger(__name__)

PREFIX = "trc_"
"""What every secret begins with, so that secret scanners find one that leaked."""

SECRET = re.compile(PREFIX + r"[0-9a-f]{64}\Z", re.ASCII)
LONGEST_NAME = 100
MOST_STREAMS = 1000
USE_RESOLUTION = timedelta(minutes=1)
OVERLAP = timedelta(hours=24)
"""How long a rotated token goes on working, so that jobs that wait in a queue with it still post."""

_READ = (
    "SELECT u.id, u.username, t.id, t.scopes, t.streams, t.expires_at, u.is_superuser,"
    " (SELECT value FROM streams_generation)"
    " FROM accounts_token t JOIN auth_user u ON u.id = t.owner_id"
    " WHERE t.{} = %s AND u.is_active AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > %s)"
)
_BY_HASH = _READ.format("hash")
_BY_ID = _READ.format("id")


def create(
    user: User,
    name: Any,
    expires: datetime | None = None,
    *,
    scopes: Any = roles.USUAL_SCOPES,
    streams: Any = None,
) -> tuple[Token, str]:
    """Make a token that acts as ``user``.

    Parameters
    ----------
    name
        What its owner calls it, 1 to 100 characters; two may share one, so that one can replace the other.
    expires
        When it stops working, with its time zone; None means never.
    scopes
        Names of :data:`server.accounts.roles.SCOPES`, at least one. It may never do more than its owner.
    streams
        Names of the only streams that it works for, which need not exist yet; None means all.

    Returns
    -------
    tuple
        The token and its secret, ``trc_`` and 256 random bits in hex, which can't be had again.

    Raises
    ------
    Invalid
        If one of these can't be, naming it, or if the user is blocked.
    """
    check_text(name, "name", LONGEST_NAME)
    if not name.strip():
        raise Invalid(f"name is {shown(name)}: expected what the token is for, such as 'cluster jobs'", field="name")
    if expires is not None and (expires.tzinfo is None or expires <= datetime.now(UTC)):
        raise Invalid(f"expires is {expires}: expected a time in the future, with its time zone", field="expires")
    if not user.is_active:
        raise Invalid(f"user {user.username} is blocked, so no token of theirs would work", field="user")
    made = {"name": name, "scopes": _scopes(scopes), "streams": _streams(streams)}
    with transaction_for_writing():
        return _make(user, expires, **made)


def _make(user: User, expires: datetime | None, replaces: Token | None = None, **made: Any) -> tuple[Token, str]:
    secret = PREFIX + secrets.token_hex(32)
    token = Token.objects.create(
        owner=user, hash=hash_of(secret), hint=secret[-4:], expires_at=expires, replaces=replaces, **made
    )
    changes.tell("token.rotate" if replaces else "token.create", str(token.pk), after=told(token))
    return token, secret


def _scopes(scopes: Any) -> list[str]:
    given = list(scopes) if isinstance(scopes, (list, tuple, set, frozenset)) else scopes
    if not isinstance(given, list) or not given or not all(isinstance(s, str) and s in roles.SCOPES for s in given):
        expected = ", ".join(roles.SCOPES)
        raise Invalid(f"scopes is {shown(scopes)}: expected a list of at least one of {expected}", field="scopes")
    return [scope for scope in roles.SCOPES if scope in given]


def _streams(streams: Any) -> list[str] | None:
    if streams is None:
        return None
    if isinstance(streams, str) or not isinstance(streams, Iterable) or not (names := list(streams)):
        raise Invalid(f"streams is {shown(streams)}: expected a list of at least one name, or null", field="streams")
    if len(names) > MOST_STREAMS:
        raise Invalid(f"streams has {len(names)} names: the most allowed is {MOST_STREAMS}", field="streams")
    return sorted({check_name(name, "stream", "streams") for name in names})


def verify(secret: str) -> Identity | None:
    """Who the secret belongs to; None if it is malformed, unknown, expired or revoked, or its owner is blocked."""
    if not SECRET.match(secret):
        return None
    return _read(_BY_HASH, hash_of(secret))


def verify_id(token_id: int) -> Identity | None:
    """Who the token of that number belongs to; None where :func:`verify` of its secret would be None."""
    return _read(_BY_ID, token_id)


def revoke(token: Token) -> bool:
    """Stop a token, and all that was issued for it, from working; False if it was revoked already."""
    with transaction_for_writing():
        revoked = Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
        if revoked:
            changes.tell("token.revoke", str(token.pk), before=told(token))
    token.refresh_from_db(fields=["revoked_at"])
    return revoked == 1


def rotate(token: Token, overlap: timedelta = OVERLAP) -> tuple[Token, str]:
    """Replace a token by a new one of the same name, scopes, streams and life; the old one ends after ``overlap``.

    Raises
    ------
    Conflict
        If it was rotated already or works no more: of many rotations at once, one succeeds.
    """
    now = datetime.now(UTC)
    with transaction_for_writing():
        old = Token.objects.select_for_update().get(pk=token.pk)
        if Token.objects.filter(replaces=old).exists():
            raise Conflict(f"token {old.pk} was rotated already: rotate the one that replaced it", code="rotated")
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise Conflict(f"token {old.pk} is revoked or expired: make a new one", code="ended")
        life = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        # The generation is counted before the audit trail is locked, here as in every other change: in the other
        # order, two changes at once would wait for one another.
        old.expires_at = min(now + overlap, old.expires_at or now + overlap)
        old.save(update_fields=["expires_at"])
        return _make(old.owner, life, replaces=old, name=old.name, scopes=old.scopes, streams=old.streams)


def note_use(identity: Identity) -> None:
    """Note that a token was used, to the minute. No caller is turned away because this could not be written."""
    now = datetime.now(UTC)
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_RESOLUTION)
    try:
        if Token.objects.filter(stale, pk=identity.token_id).exists():
            Token.objects.filter(pk=identity.token_id).update(last_used_at=now)
    except (DatabaseError, InterfaceError) as exc:
        logger.warning("the use of token %d could not be noted: %s", identity.token_id, exc)


def told(token: Token) -> dict[str, Any]:
    """What the audit trail says of a token: nothing that it could be guessed from."""
    return {
        "owner": token.owner.username,
        "name": token.name,
        "scopes": token.scopes,
        "streams": token.streams,
        "expires_at": None if token.expires_at is None else token.expires_at.isoformat(),
        "replaces": token.replaces_id,
    }


def hash_of(secret: str) -> str:
    """A plain SHA-256: 256 random bits leave nothing for a slow hash to protect."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(query: str, value: str | int) -> Identity | None:
    # The ORM builds this query in ten times the time that the database takes to answer it.
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(query, (value, now))
        row = cursor.fetchone()
    if row is None:
        return None
    user_id, username, token_id, scopes, streams, expires, is_superuser, generation = row
    reach = frozenset().union(*(roles.SCOPES[scope] for scope in _json(scopes)))
    only = _json(streams)
    return Identity(
        user_id,
        username,
        token_id,
        roles.permissions_of(user_id, is_superuser=bool(is_superuser)) & reach,
        None if only is None else frozenset(only),
        _seconds(expires),
        generation,
    )


def _json(value: Any) -> Any:
    """A JSON column as the driver gives it: SQLite's as text, PostgreSQL's read already or as text."""
    return loads(value) if isinstance(value, (str, bytes)) else value


def _seconds(value: Any) -> float:
    """A time as the driver gives it, in seconds; never is infinite."""
    if value is None:
        return float("inf")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    found: datetime = value if value.tzinfo else value.replace(tzinfo=UTC)
    return found.timestamp()
