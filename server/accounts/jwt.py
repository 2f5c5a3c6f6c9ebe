"""Access tokens: short-lived JSON Web Tokens that stand for a token or for a person's sign-in, while that one works.

They hold nothing that the database doesn't decide anew whenever it has changed, and every process with the same
``SECRET_KEY`` takes them.
"""

import dataclasses
import secrets
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypedDict

import jwt
from django.conf import settings
from django.utils.crypto import salted_hmac

from server.accounts import signins, tokens
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


def issue(identity: Identity, sign_in: int | None = None) -> Issued:
    """An access token for the caller, with its lifetime in seconds and the time of its issue (RFC 3339, UTC).

    Parameters
    ----------
    sign_in
        The number of the sign-in that it is for; the caller's token, if it isn't given.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(identity.user_id),
        "iat": issued_at,
        "exp": issued_at + LIFETIME,
        "jti": secrets.token_hex(16),
    }
    claims |= {"tid": identity.token_id} if sign_in is None else {"sid": sign_in}
    token = jwt.encode(claims, _key(settings.SECRET_KEY), algorithm=ALGORITHM)
    return {"token": token, "expires_in": LIFETIME, "issued_at": now.strftime("%Y-%m-%dT%H:%M:%SZ")}


def verify(token: str) -> Identity | None:
    """Who an access token stands for.

    None if it isn't ours (any other algorithm, key, issuer or audience), has expired, or was issued for a token or a
    sign-in that no longer works.
    """
    try:
        claims = jwt.decode(
            token,
            _key(settings.SECRET_KEY),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={
                "require": ["iss", "aud", "sub", "iat", "exp", "jti"],
                "verify_iat": False,  # the clock of the pod that issued it may be ahead of ours
            },
        )
    except jwt.InvalidTokenError:
        return None
    token_id, sign_in = claims.get("tid"), claims.get("sid")
    if isinstance(token_id, int):
        identity = tokens.verify_id(token_id)
    elif isinstance(sign_in, int):
        identity = signins.verify_id(sign_in)
    else:
        return None
    if identity is None or str(identity.user_id) != claims["sub"]:
        return None
    return dataclasses.replace(identity, ends=min(identity.ends, float(claims["exp"])))


def was_issued(token: str) -> bool:
    """Whether an access token is one of ours, though it may have expired or stand for what works no more: no guess."""
    try:
        jwt.decode(
            token,
            _key(settings.SECRET_KEY),
            algorithms=[ALGORITHM],
            options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
        )
    except jwt.InvalidTokenError:
        return False
    return True


@lru_cache(maxsize=2)
def _key(secret_key: str) -> bytes:
    """The signing key: 256 bits derived for this purpose alone, so that nothing else signed here passes for it."""
    return salted_hmac(_PURPOSE, ALGORITHM, secret=secret_key, algorithm="sha256").digest()
