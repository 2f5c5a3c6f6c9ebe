"""Times of the last use of tokens, to the minute. Each process collects them in memory and stores them in the background."""

import time
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from server.accounts.caller import Caller
from server.accounts.models import Token
from server.core.db.locks import transaction_for_writing

FLUSH_INTERVAL = 10.0
"""Seconds between two writes of a process."""

RESOLUTION = timedelta(minutes=1)
"""A stored time is updated only if it is older than this."""

_used: set[int] = set()
_flushed_at = 0.0


def mark(caller: Caller) -> None:
    """Mark the caller's token as used, in memory."""
    _used.add(caller.token_id)


def flush_if_due() -> None:
    """Call :func:`flush` if the last time was :data:`FLUSH_INTERVAL` ago.

    Raises
    ------
    Unavailable
        As :func:`flush`.
    """
    global _flushed_at
    if _used and time.monotonic() - _flushed_at >= FLUSH_INTERVAL:
        _flushed_at = time.monotonic()
        flush()


def flush() -> None:
    """Store the time of use of the marked tokens, where the stored time is older than :data:`RESOLUTION`.

    Raises
    ------
    Unavailable
        If the database can't store it. The marks are lost.
    """
    marked = set()
    while _used:
        marked.add(_used.pop())  # other threads may add more meanwhile
    marked.discard(0)  # people who signed in have no token
    if not marked:
        return
    now = datetime.now(UTC)
    stale = Token.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=now - RESOLUTION), pk__in=marked)
    if not stale.exists():
        return
    with transaction_for_writing():
        # Skips tokens that others are changing: no request waits for this.
        held = list(stale.select_for_update(skip_locked=True).values_list("pk", flat=True))
        Token.objects.filter(pk__in=held).update(last_used_at=now)
