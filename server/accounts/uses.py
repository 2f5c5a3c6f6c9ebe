"""When tokens were last used, to the minute: noted by each process as it goes, and written down beside the requests."""

import time
from datetime import UTC, datetime

from django.db.models import Q

from server.accounts.identity import Identity
from server.accounts.models import Token
from server.accounts.tokens import USE_RESOLUTION
from server.streams.locks import transaction_for_writing

PAUSE = 10.0
"""Seconds between two times that a process writes."""

_used: set[int] = set()
_written = 0.0


def note(identity: Identity) -> None:
    """Note that somebody was let in. It costs nothing."""
    _used.add(identity.token_id)


def write_due() -> None:
    """Write down what was noted, if it is time.

    Raises
    ------
    Unavailable
        If the database can't store it: what was noted is forgotten.
    """
    global _written
    if _used and time.monotonic() - _written >= PAUSE:
        _written = time.monotonic()
        write()


def write() -> None:
    """Write down what was noted, for the tokens whose last use is written as more than a minute ago.

    Raises
    ------
    Unavailable
        As :func:`write_due`.
    """
    noted = set()
    while _used:
        noted.add(_used.pop())  # others go on noting
    noted.discard(0)  # people, who have no token
    if not noted:
        return
    now = datetime.now(UTC)
    stale = Token.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=now - USE_RESOLUTION), pk__in=noted)
    if not stale.exists():
        return
    with transaction_for_writing():
        # What another process writes, or an owner changes, is passed over: nobody waits for a note.
        held = list(stale.select_for_update(skip_locked=True).values_list("pk", flat=True))
        Token.objects.filter(pk__in=held).update(last_used_at=now)
