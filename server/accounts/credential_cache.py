"""Cache of callers by credential, in each process.

Each entry has the *generation* (:class:`server.streams.models.Generation`) in which it was read. A hot request reads the
current generation together with the row that it needs anyway. If it differs, the caller is read again before anything is
answered or stored. So a revocation takes effect with the next request, in every process and pod, without an extra query.
"""

import threading
from hashlib import sha256

from server.accounts import jwt, tokens
from server.accounts.caller import Caller

MAX_CREDENTIALS = 10_000
"""Largest number of cached credentials. The oldest entry is evicted first."""

_known: dict[bytes, Caller] = {}
_changing = threading.Lock()


def cached(credential: str) -> Caller | None:
    """Return the cached caller of a credential, or None. Compare its generation with the current one."""
    caller = _known.get(sha256(credential.encode()).digest())
    return None if caller is None or caller.has_ended else caller


def verify(credential: str) -> Caller | None:
    """Read the caller of a token or an access token from the database, and cache it; None if the credential is invalid."""
    caller = tokens.verify(credential) if credential.startswith(tokens.PREFIX) else jwt.verify(credential)
    key = sha256(credential.encode()).digest()
    with _changing:
        if caller is None or caller.generation is None:
            _known.pop(key, None)
            return caller
        if key not in _known and len(_known) >= MAX_CREDENTIALS:
            del _known[next(iter(_known))]
        _known[key] = caller
    return caller


def clear() -> None:
    """Empty the cache, as in a new process."""
    _known.clear()
