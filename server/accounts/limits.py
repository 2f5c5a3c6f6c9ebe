"""Rate limits of callers, counted in each process.

Requests with a valid credential are counted by credential, whatever their address. Requests without one are counted by
address. So a cluster of many nodes behind one address is limited by token, and failed attempts are counted by address.
"""

import itertools
import math
import threading
import time
from collections import defaultdict
from collections.abc import Hashable

from django.http import HttpRequest

from server.accounts import addresses
from server.accounts.caller import Caller
from server.config import Config
from server.core.errors import TooMany
from server.core.probe_paths import PROBE_PATHS

clock = time.monotonic


class Window:
    """Counts hits by key in fixed windows, the same for all keys.

    All counts are discarded when the next window begins, so nothing has to be cleaned up. A hit takes 0.3 µs.

    Parameters
    ----------
    seconds
        Length of a window.
    most
        Largest number of hits of a key in a window; 0 means no limit.
    """

    def __init__(self, seconds: float, most: int = 0) -> None:
        self.seconds = seconds
        self.begin(most)

    def begin(self, most: int) -> None:
        """Discard the counts, and set the limit."""
        self.most = most
        self._ends = 0.0
        self._counts: defaultdict[Hashable, itertools.count[int]] = defaultdict(itertools.count)

    def hit(self, key: Hashable) -> float:
        """Count a hit. Return the seconds to wait if it exceeds the limit, else 0."""
        if not self.most:
            return 0.0
        now = clock()
        if now >= self._ends:
            self._counts = defaultdict(itertools.count)
            self._ends = now + self.seconds
        # next() of a count is atomic, so threads lose no hits.
        return 0.0 if next(self._counts[key]) < self.most else self._ends - now


CALLERS = Window(1)
"""Requests per second, by token or person."""

ANONYMOUS = Window(60)
"""Requests per minute without a valid credential, by address and by route or credential."""

_room = threading.BoundedSemaphore()
"""Limits how many requests without a credential may send a body at the same time."""


def configure(config: Config) -> None:
    """Set the limits from the settings, and discard the counts. With ``AUTH=open`` there are no limits."""
    global _room
    _room = threading.BoundedSemaphore(max(1, config.working_threads // 4))
    is_open = config.auth == "open"
    CALLERS.begin(0 if is_open else config.token_rate)
    ANONYMOUS.begin(0 if is_open else config.address_rate)


def key(caller: Caller) -> int:
    """Return the key that a caller is counted by: the number of their token, or the negative number of the person."""
    return caller.token_id or -caller.user_id


def count_caller(caller: Caller) -> None:
    """Count a request with a valid credential.

    Raises
    ------
    TooMany
        If its token, or the person who signed in, has sent ``TAILRACE_TOKEN_RATE`` requests in this second.
    """
    wait = CALLERS.hit(key(caller))
    if wait:
        who = f"token {caller.token_id}" if caller.token_id else f"user {caller.username}"
        raise TooMany(
            f"{who} sent more than {CALLERS.most} requests in one second (TAILRACE_TOKEN_RATE): send several points in "
            "one request, or wait",
            retry_after=math.ceil(wait),
        )


def admit_anonymous(request: HttpRequest) -> None:
    """Count a request without a credential to a public path, and limit how many send a body at the same time.

    Each of them may keep a thread busy, by sending slowly or by having a password checked. So at most a quarter of the
    threads serve them. :func:`release` ends the request's share.

    Raises
    ------
    TooMany
        As :func:`count_anonymous`, or if too many are being served already.
    """
    if not ANONYMOUS.most or request.path_info in PROBE_PATHS:
        return
    count_anonymous(request, getattr(request.resolver_match, "route", ""))
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    room = _room
    if not room.acquire(blocking=False):
        raise TooMany("too many sign-ins are in progress: try again", retry_after=1)
    request.room = room  # type: ignore[attr-defined]


def release(request: HttpRequest) -> None:
    """Release the share that :func:`admit_anonymous` gave to the request, if any."""
    room = request.__dict__.pop("room", None)
    if room is not None:
        room.release()


def count_anonymous(request: HttpRequest, what: str) -> None:
    """Count a request without a valid credential.

    Parameters
    ----------
    what
        The route, or the kind of the invalid credential. Each is counted separately, so that many jobs with a revoked token
        don't prevent people at the same address from signing in.

    Raises
    ------
    TooMany
        If the address has sent ``TAILRACE_ADDRESS_RATE`` of them in this minute.
    """
    if ANONYMOUS.most and (wait := ANONYMOUS.hit((addresses.client_network(request), what))):
        seconds = math.ceil(wait)
        raise TooMany(
            f"more than {ANONYMOUS.most} requests without a valid credential came from your address in one minute "
            f"(TAILRACE_ADDRESS_RATE): wait {seconds} s, or check the credential; valid credentials still work",
            retry_after=seconds,
        )
