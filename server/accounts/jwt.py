"""Access tokens: short-lived JSON Web Tokens, valid while their token or sign-in is valid.

They contain no permissions: these are read from the database. Every process with the same ``SECRET_KEY`` accepts them.
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
from server.accounts.caller import Caller

ALGORITHM = "HS256"
ISSUER = "tailrace"
AUDIENCE = "tailrace-api"
LIFETIME = 600
"""Seconds."""

_PURPOSE = "server.accounts.jwt"


class Issued(TypedDict):
    """An access token, as the handshake returns it."""

    token: str
    expires_in: int
    issued_at: str


def issue(caller: Caller, sign_in: int | None = None) -> Issued:
    """Return an access token for the caller, with its lifetime in seconds and its time of issue (RFC 3339, UTC).

    Parameters
    ----------
    sign_in
        Number of the sign-in that it is issued for. None: it is issued for the caller's token.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(caller.user_id),
        "iat": issued_at,
        "exp": issued_at + LIFETIME,
        "jti": secrets.token_hex(16),
    }
    claims |= {"tid": caller.token_id} if sign_in is None else {"sid": sign_in}
    token = jwt.encode(claims, _key(settings.SECRET_KEY), algorithm=ALGORITHM)
    return {"token": token, "expires_in": LIFETIME, "issued_at": now.strftime("%Y-%m-%dT%H:%M:%SZ")}


def verify(token: str) -> Caller | None:
    """Return the caller of an access token.

    None if this server didn't issue it (wrong algorithm, key, issuer or audience), if it has expired, or if its token or
    sign-in is no longer valid.
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
                "verify_iat": False,  # the clock of the pod that issued it may be ahead
            },
        )
    except jwt.InvalidTokenError:
        return None
    token_id, sign_in = claims.get("tid"), claims.get("sid")
    if isinstance(token_id, int):
        caller = tokens.verify_id(token_id)
    elif isinstance(sign_in, int):
        caller = signins.verify_id(sign_in)
    else:
        return None
    if caller is None or str(caller.user_id) != claims["sub"]:
        return None
    return dataclasses.replace(caller, ends=min(caller.ends, float(claims["exp"])))


def was_issued(token: str) -> bool:
    """Whether this server issued an access token, even if it is no longer valid. So it isn't a guess."""
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
    """Return the signing key: 256 bits derived for this purpose only, so that no other signature is valid here."""
    return salted_hmac(_PURPOSE, ALGORITHM, secret=secret_key, algorithm="sha256").digest()
