"""Tokens: creation, verification, rotation, revocation.

Each process caches tokens for one :class:`server.streams.models.Generation`. Database triggers increment it with every change
of a token, a user or a role: see :mod:`server.accounts.credential_cache`.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from server.accounts import roles
from server.accounts.caller import Caller
from server.accounts.models import Token
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid
from server.core.json_codec import loads
from server.core.validation import check_name, check_text, format_value

logger = logging.getLogger(__name__)

PREFIX = "trc_"
"""Prefix of every secret, so that secret scanners find leaked ones."""

SECRET = re.compile(PREFIX + r"[0-9a-f]{64}\Z", re.ASCII)
LONGEST_NAME = 100
MOST_STREAMS = 1000

OVERLAP = timedelta(hours=24)
"""How long a rotated token still works, so that queued jobs can post with it."""

_READ = (
    "SELECT u.id, u.username, t.id, t.scopes, t.streams, t.expires_at, u.is_superuser, t.cluster_id,"
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
    scopes: Any = roles.DEFAULT_SCOPES,
    streams: Any = None,
    cluster_id: int | None = None,
) -> tuple[Token, str]:
    """Create a token that acts as ``user``.

    Parameters
    ----------
    name
        Its name, 1 to 100 characters. Names needn't be unique, so that a token can replace another.
    expires
        Time of expiry, with time zone; None means never.
    scopes
        Names of :data:`server.accounts.roles.SCOPES`, at least one. A token never has more permissions than its owner.
    streams
        Names of the streams to which it is restricted. They needn't exist yet. None means all streams.
    cluster_id
        The cluster whose agent it is for. It has the scope ``compute``, and can do nothing else but ``learn`` and ``predict``.

    Returns
    -------
    tuple
        The token and its secret: ``trc_`` and 256 random bits in hex. The secret can't be shown again.

    Raises
    ------
    Invalid
        If a value is invalid (the message names it), or if the user is blocked.
    """
    check_text(name, "name", LONGEST_NAME)
    if not name.strip():
        raise Invalid(
            f"name is {format_value(name)}: expected what the token is for, such as 'cluster jobs'", field="name"
        )
    if expires is not None and (expires.tzinfo is None or expires <= datetime.now(UTC)):
        raise Invalid(f"expires is {expires}: expected a time in the future, with time zone", field="expires")
    if not user.is_active:
        raise Invalid(f"user {user.username} is blocked: unblock them first", field="user")
    known = roles.SCOPES if cluster_id is None else roles.ALL_SCOPES
    made = {"name": name, "scopes": _scopes(scopes, known), "streams": _streams(streams), "cluster_id": cluster_id}
    with transaction_for_writing():
        return _make(user, expires, **made)


def _make(user: User, expires: datetime | None, replaces: Token | None = None, **made: Any) -> tuple[Token, str]:
    secret = PREFIX + secrets.token_hex(32)
    token = Token.objects.create(
        owner=user, hash=hash_of(secret), hint=secret[-4:], expires_at=expires, replaces=replaces, **made
    )
    audit_signals.send("token.rotate" if replaces else "token.create", str(token.pk), after=audit_values(token))
    return token, secret


def _scopes(scopes: Any, known: Iterable[str]) -> list[str]:
    given = list(scopes) if isinstance(scopes, (list, tuple, set, frozenset)) else scopes
    if not isinstance(given, list) or not given or not all(isinstance(s, str) and s in known for s in given):
        expected = ", ".join(known)
        raise Invalid(
            f"scopes is {format_value(scopes)}: expected a list of at least one of {expected}", field="scopes"
        )
    return [scope for scope in known if scope in given]


def _streams(streams: Any) -> list[str] | None:
    if streams is None:
        return None
    if isinstance(streams, str) or not isinstance(streams, Iterable) or not (names := list(streams)):
        raise Invalid(
            f"streams is {format_value(streams)}: expected a list of at least one name, or null", field="streams"
        )
    if len(names) > MOST_STREAMS:
        raise Invalid(f"streams has {len(names)} names: the most allowed is {MOST_STREAMS}", field="streams")
    return sorted({check_name(name, "stream", "streams") for name in names})


def verify(secret: str) -> Caller | None:
    """Return the caller of a secret; None if it is malformed, unknown, expired or revoked, or its owner is blocked."""
    if not SECRET.match(secret):
        return None
    return _read(_BY_HASH, hash_of(secret))


def verify_id(token_id: int) -> Caller | None:
    """Return the caller of the token with that number; None if :func:`verify` of its secret would return None."""
    return _read(_BY_ID, token_id)


def revoke(token: Token) -> bool:
    """Revoke a token and all access tokens that were issued for it. Return False if it was already revoked."""
    with transaction_for_writing():
        revoked = Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
        if revoked:
            audit_signals.send("token.revoke", str(token.pk), before=audit_values(token))
    token.refresh_from_db(fields=["revoked_at"])
    return revoked == 1


def rotate(token: Token, overlap: timedelta = OVERLAP) -> tuple[Token, str]:
    """Replace a token by a new one with the same name, scopes, streams and lifetime. The old one ends after ``overlap``.

    Raises
    ------
    Conflict
        If it was already rotated or is no longer valid. Of several rotations at once, one succeeds.
    """
    now = datetime.now(UTC)
    with transaction_for_writing():
        old = Token.objects.select_for_update().get(pk=token.pk)
        if Token.objects.filter(replaces=old).exists():
            raise Conflict(f"token {old.pk} was already rotated: rotate the one that replaced it", code="rotated")
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise Conflict(f"token {old.pk} is revoked or expired: create a new one", code="ended")
        life = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        # Increments the generation before the audit trail is locked, as every other change does. The reverse order
        # could deadlock.
        old.expires_at = min(now + overlap, old.expires_at or now + overlap)
        old.save(update_fields=["expires_at"])
        return _make(old.owner, life, replaces=old, **_same_as(old))


def _same_as(old: Token) -> dict[str, Any]:
    return {name: getattr(old, name) for name in ("name", "scopes", "streams", "cluster_id")}


def audit_values(token: Token) -> dict[str, Any]:
    """Return the values of a token for the audit trail, without anything that helps to guess its secret."""
    return {
        "owner": token.owner.username,
        "name": token.name,
        "scopes": token.scopes,
        "streams": token.streams,
        "expires_at": None if token.expires_at is None else token.expires_at.isoformat(),
        "replaces": token.replaces_id,
    }


def hash_of(secret: str) -> str:
    """Return the SHA-256 of a secret. A slow hash isn't needed for 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(query: str, value: str | int) -> Caller | None:
    # Not by the ORM, which takes ten times as long to build this query as the database to run it.
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(query, (value, now))
        row = cursor.fetchone()
    if row is None:
        return None
    user_id, username, token_id, scopes, streams, expires, is_superuser, cluster_id, generation = row
    reach = frozenset().union(*(roles.ALL_SCOPES[scope] for scope in _json(scopes)))
    only = _json(streams)
    return Caller(
        user_id,
        username,
        token_id,
        roles.permissions_of(user_id, is_superuser=bool(is_superuser)) & reach,
        None if only is None else frozenset(only),
        _seconds(expires),
        generation,
        cluster_id,
    )


def _json(value: Any) -> Any:
    """Decode a JSON column. Drivers return it as text or, on PostgreSQL, already decoded."""
    return loads(value) if isinstance(value, (str, bytes)) else value


def _seconds(value: Any) -> float:
    """Return a time from the driver in seconds; infinity for null."""
    if value is None:
        return float("inf")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    found: datetime = value if value.tzinfo else value.replace(tzinfo=UTC)
    return found.timestamp()
