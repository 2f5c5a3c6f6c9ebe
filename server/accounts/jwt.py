"""Access tokens: short-lived JSON Web Tokens that stand for a token, for as long as that one works.

They hold nothing that the database doesn't decide anew at each request, and every process with the same
``SECRET_KEY`` takes them.
"""

import secrets
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypedDict

import jwt
from django.conf import settings
from django.utils.crypto import salted_hmac

from server.accounts import tokens
from server.accounts.identity import Identity

ALGORITHM = "HS256"
ISSUER = "tailrace"
AUDIENCE = "tailrace-api"
LIFETIME = 600
"""Seconds."""

_PURPOSE = "server.accounts.jwt"


class Issued(TypedDict):
    """An access token as the handshake answers it."""

    token: str
    expires_in: int
    issued_at: str


def issue(identity: Identity) -> Issued:
    """An access token for the caller, with its lifetime in seconds and the time of its issue (RFC 3339, UTC)."""
    now = datetime.now(UTC).replace(microsecond=0)
    issued_at = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(identity.user_id),
        "tid": identity.token_id,
        "iat": issued_at,
        "exp": issued_at + LIFETIME,
        "jti": secrets.token_hex(16),
    }
    token = jwt.encode(claims, _key(settings.SECRET_KEY), algorithm=ALGORITHM)
    return {"token": token, "expires_in": LIFETIME, "issued_at": now.strftime("%Y-%m-%dT%H:%M:%SZ")}


def verify(token: str) -> Identity | None:
    """Who an access token stands for.

    None if it isn't ours (any other algorithm, key, issuer or audience), has expired, or was issued for a token
    that no longer works.
    """
    try:
        claims = jwt.decode(
            token,
            _key(settings.SECRET_KEY),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={
                "require": ["iss", "aud", "sub", "tid", "iat", "exp", "jti"],
                "verify_iat": False,  # the clock of the pod that issued it may be ahead of ours
            },
        )
    except jwt.InvalidTokenError:
        return None
    identity = tokens.verify_id(claims["tid"])
    return identity if identity is not None and str(identity.user_id) == claims["sub"] else None


@lru_cache(maxsize=2)
def _key(secret_key: str) -> bytes:
    """The signing key: 256 bits derived for this purpose alone, so that nothing else signed here passes for it."""
    return salted_hmac(_PURPOSE, ALGORITHM, secret=secret_key, algorithm="sha256").digest()
