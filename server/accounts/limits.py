"""How often callers may come, counted by each process for itself.

A credential that holds is counted by itself, wherever it comes from; an address, only for what comes from there without one.
So a cluster of a thousand nodes behind one address is as many callers as it has tokens, and who guesses is one.
"""

import itertools
import math
import threading
import time
from collections import defaultdict
from collections.abc import Hashable

from django.http import HttpRequest

from server.accounts import addresses
from server.accounts.identity import Identity
from server.config import Config
from server.probes import PROBES
from server.streams.errors import TooMany

clock = time.monotonic


class Window:
    """Counts hits by key, all keys in the same fixed windows.

    The counts are forgotten together as the next window begins: nothing has to be cleaned up, and a hit costs 0.3 µs.

    Parameters
    ----------
    seconds
        How long a window lasts.
    most
        Hits of a key in a window; 0 means no limit.
    """

    def __init__(self, seconds: float, most: int = 0) -> None:
        self.seconds = seconds
        self.begin(most)

    def begin(self, most: int) -> None:
        """Forget what was counted, and allow so many from now on."""
        self.most = most
        self._ends = 0.0
        self._counts: defaultdict[Hashable, itertools.count[int]] = defaultdict(itertools.count)

    def hit(self, key: Hashable) -> float:
        """Count a hit; how many seconds are to be waited if that was one too many, else 0."""
        if not self.most:
            return 0.0
        now = clock()
        if now >= self._ends:
            self._counts = defaultdict(itertools.count)
            self._ends = now + self.seconds
        # next() of a count is one step to the interpreter: threads lose no hits.
        return 0.0 if next(self._counts[key]) < self.most else self._ends - now


CALLERS = Window(1)
"""Requests a second, by token or person."""

STRANGERS = Window(60)
"""Requests a minute without a credential that holds, by address and by what was asked for or shown."""

_room = threading.BoundedSemaphore()
"""For the strangers that may be sending something at the same time."""


def begin(config: Config) -> None:
    """Count anew, by these settings. Where nobody is asked who they are, nobody is limited."""
    global _room
    _room = threading.BoundedSemaphore(max(1, config.working_threads // 4))
    is_open = config.auth == "open"
    CALLERS.begin(0 if is_open else config.token_rate)
    STRANGERS.begin(0 if is_open else config.address_rate)


def key(identity: Identity) -> int:
    """What a caller is counted by: the number of their token, or (negative) of the person."""
    return identity.token_id or -identity.user_id


def count_caller(identity: Identity) -> None:
    """Count a request with a credential that holds.

    Raises
    ------
    TooMany
        If its token, or the person who signed in, has had ``TAILRACE_TOKEN_RATE`` requests in this second.
    """
    wait = CALLERS.hit(key(identity))
    if wait:
        who = f"token {identity.token_id}" if identity.token_id else f"user {identity.username}"
        raise TooMany(
            f"{who} sent more than {CALLERS.most} requests in a second (TAILRACE_TOKEN_RATE): send many points in one "
            "request, or wait",
            retry_after=math.ceil(wait),
        )


def admit_stranger(request: HttpRequest) -> None:
    """Let in a request of whoever it may be, to an address that is open to all.

    What they send is taken from as many of them at once as leave most threads to others: whoever sends slowly, or has
    passwords tried, keeps one busy. :func:`leave` makes room again.

    Raises
    ------
    TooMany
        As :func:`count_stranger`, or if so many are at it already.
    """
    if not STRANGERS.most or request.path_info in PROBES:
        return
    count_stranger(request, getattr(request.resolver_match, "route", ""))
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    room = _room
    if not room.acquire(blocking=False):
        raise TooMany("as many sign-ins are under way as are taken at once: try again", retry_after=1)
    request.room = room  # type: ignore[attr-defined]


def leave(request: HttpRequest) -> None:
    """Make room for another stranger, where the request took some."""
    room = request.__dict__.pop("room", None)
    if room is not None:
        room.release()


def count_stranger(request: HttpRequest, what: str) -> None:
    """Count a request without a credential that holds.

    Parameters
    ----------
    what
        What was asked for or shown; each is counted by itself, so that revoked tokens of many jobs behind an address keep
        nobody there from signing in.

    Raises
    ------
    TooMany
        If that address has sent ``TAILRACE_ADDRESS_RATE`` of them in this minute.
    """
    if STRANGERS.most and (wait := STRANGERS.hit((addresses.site(request), what))):
        seconds = math.ceil(wait)
        raise TooMany(
            f"more than {STRANGERS.most} requests in a minute came from your address without a credential that holds "
            f"(TAILRACE_ADDRESS_RATE): wait {seconds} s, or check the credential; those that hold are let in meanwhile",
            retry_after=seconds,
        )
