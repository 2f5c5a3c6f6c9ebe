"""Callers, remembered: who a credential belongs to and what they may do, for as long as nobody changes any of it.

Each process remembers what the database said, with the *generation* that it was said in. A hot request reads the
present generation with the row that it needs anyway; if that differs, the caller is looked up again before anything
is answered or stored. So a revocation counts from the next request on, in every process and pod, and costs no read.
"""

import threading
from hashlib import sha256

from server.accounts import jwt, tokens
from server.accounts.identity import Identity

MOST = 10_000
"""Credentials that a process remembers; the one remembered first goes first."""

_known: dict[bytes, Identity] = {}
_changing = threading.Lock()


def remembered(credential: str) -> Identity | None:
    """What this process knows of a credential without asking; it is to be held against the present generation."""
    identity = _known.get(sha256(credential.encode()).digest())
    return None if identity is None or identity.has_ended else identity


def verified(credential: str) -> Identity | None:
    """What the database says of a token or an access token now; None if it doesn't hold."""
    identity = tokens.verify(credential) if credential.startswith(tokens.PREFIX) else jwt.verify(credential)
    key = sha256(credential.encode()).digest()
    with _changing:
        if identity is None or identity.generation is None:
            _known.pop(key, None)
            return identity
        if key not in _known and len(_known) >= MOST:
            del _known[next(iter(_known))]
        _known[key] = identity
    return identity


def forget() -> None:
    """Forget everybody, as a new process begins."""
    _known.clear()
