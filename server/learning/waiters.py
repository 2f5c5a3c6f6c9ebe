"""The threads of this process that wait for a stream's models, so that busy streams leave some to others."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

from django.conf import settings

from server.streams.errors import Unavailable

PATIENCE = 0.5
"""Seconds that a thread waits before it asks whether it may wait on, and that the first of many may have waited."""
LOADING_PATIENCE = 0.2
"""Seconds that a thread waits for room to load models."""
MEMORY = 30
"""A stream whose models took long twice is slow for so many times as long as they took."""
LONG = 100
"""Points of a request that may take long before anybody knows."""
FEW = 4
"""So many streams of one owner that were slow within :data:`LASTING`, and none of the owner's is trusted."""
LASTING = 300.0
"""Seconds."""

_long: set[int] = set()
"""The threads whose requests have that many, or are at streams that aren't trusted to be quick."""
_slow_streams: dict[int, dict["Waiters", float]] = {}
"""By owner, the streams that took long lately, and when."""
_slow: dict[int, "Waiters"] = {}
"""The threads that are at streams whose models take long, and at which."""
_deciding = threading.Lock()


def room_for(points: int, waiters: "Waiters") -> AbstractContextManager[None]:
    """Be among the requests that may take long, which leave a quarter of the threads to others.

    Those are the ones of many points, and all to streams that were slow lately or whose owner has others that were.

    Raises
    ------
    Unavailable
        If there are as many as may be; on entering.
    """
    return _FREE if points < LONG and waiters.is_trusted else _room_for_many()


_FREE = nullcontext()


@contextmanager
def _room_for_many() -> Iterator[None]:
    thread = threading.get_ident()
    with _deciding:
        if len(_long) >= max(1, settings.TAILRACE.working_threads * 3 // 4):
            raise Unavailable(
                f"{len(_long)} requests of {LONG} points or more, or to models that may be slow, are under way; try again"
            )
        _long.add(thread)
    try:
        yield
    finally:
        _long.discard(thread)


class NoRoom(Unavailable):
    """Nothing was begun: what is in memory is as it was."""


@contextmanager
def room_to_load() -> Iterator[None]:
    """Be among those who load models or have them catch up, which may take long, and leaves a quarter of the threads to others.

    Raises
    ------
    NoRoom
        If there are as many as may be, for longer than :data:`LOADING_PATIENCE`.
    """
    room = _loading()
    if not room.acquire(timeout=LOADING_PATIENCE):
        raise NoRoom("the models of many streams are being loaded; try again")
    try:
        yield
    finally:
        room.release()


@cache
def _loading() -> threading.Semaphore:
    return threading.BoundedSemaphore(max(1, settings.TAILRACE.working_threads * 3 // 4))


class Waiters:
    """Who waits for one stream, and since when, the first to come first.

    Parameters
    ----------
    most
        How many may wait for as long as it takes, for this stream and for all that are slow.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._since: dict[int, float] = {}
        """By thread, as :func:`time.monotonic` tells it."""
        self._is_long = False
        """Whether somebody has waited for long, and many have waited ever since."""
        self._slow_until = self._suspect_until = 0.0
        self._was_quick = False
        self.owner_id: int | None = None
        """Of the stream; None while it isn't known, and if there is none."""

    @property
    def is_trusted(self) -> bool:
        """Whether nothing says that the stream's models may be slow."""
        if self._suspect_until and time.monotonic() < self._suspect_until:
            return False
        if not _slow_streams:
            return True
        if self.owner_id is not None:
            return _slow_streams_of(self.owner_id) < FEW
        return self._was_quick or all(_slow_streams_of(owner_id) < FEW for owner_id in list(_slow_streams))

    @property
    def is_slow(self) -> bool:
        """Whether the stream's models are expected to take long."""
        return self._slow_until > 0 and time.monotonic() < self._slow_until

    @property
    def has_any(self) -> bool:
        """Whether somebody waits."""
        return bool(self._since)

    def took(self, seconds: float, used: float) -> None:
        """Somebody was at the stream's models for so long, and used the CPU for so much of it.

        What others used the CPU for meanwhile, or waited for, is remembered for as long again; so is what happens once. What took
        long twice, with quick ones between or not, is remembered for :data:`MEMORY` times as long.
        """
        if seconds <= PATIENCE:
            self._was_quick = True
            return
        now = time.monotonic()
        lasts = seconds
        if used > PATIENCE:
            if self.owner_id is not None:
                _slow_streams.setdefault(self.owner_id, {})[self] = now
            if now < self._suspect_until:
                lasts = MEMORY * seconds
            self._suspect_until = max(self._suspect_until, now + MEMORY * seconds)
        self._slow_until = max(self._slow_until, now + lasts)

    def join_if_slow(self) -> None:
        """Be among those who are at streams that are slow, if this is one, until :meth:`leave`.

        Each of them has one, however many the others have.

        Raises
        ------
        Unavailable
            If there are many already.
        """
        if not self.is_slow:
            return
        thread = threading.get_ident()
        with _deciding:
            streams = list(_slow.values())
            if len(streams) >= self.most and (self in streams or len(set(streams)) >= self.most):
                raise Unavailable(
                    f"the stream's models take long, and {len(streams)} requests wait for such models already; try again"
                )
            _slow[thread] = self

    def enter(self) -> None:
        """Join them.

        Raises
        ------
        Unavailable
            If many wait, and have for long.
        """
        if self._is_long:
            self._check(len(self._since))
        self._since[threading.get_ident()] = time.monotonic()

    def check(self, may_leave: Callable[[], bool] = lambda: True) -> None:
        """See whether the calling thread, which is one of them and has waited for :data:`PATIENCE`, may wait on.

        Parameters
        ----------
        may_leave
            Asked where it may not; if that is False, it waits on all the same.

        Raises
        ------
        Unavailable
            If many others wait; it is none of them any more.
        """
        self._is_long = True
        self._slow_until = max(self._slow_until, time.monotonic() + PATIENCE)
        with _deciding:  # so that no more leave than have to
            _slow[threading.get_ident()] = self
            try:
                self._check(len(self._since) - 1)
                if len(_slow) > self.most:
                    raise Unavailable(f"{len(_slow)} requests wait for models that take long; try again")
            except Unavailable:
                if may_leave():
                    self.leave()
                    raise

    def wait_no_longer(self) -> None:
        """It is the calling thread's turn."""
        self._since.pop(threading.get_ident(), None)

    def leave(self) -> None:
        """Be no longer at the stream's models."""
        self.wait_no_longer()
        _slow.pop(threading.get_ident(), None)

    def _check(self, others: int) -> None:
        first = next(iter(self._since.copy().values()), None)
        seconds = 0.0 if first is None else time.monotonic() - first
        if seconds < PATIENCE:
            self._is_long = False
        elif others >= self.most:
            raise Unavailable(
                f"{others} requests wait for the stream's models already, the first for {seconds:.1f} s; try again"
            )


def _slow_streams_of(owner_id: int) -> int:
    """How many there were lately."""
    since = time.monotonic() - LASTING
    recent = {waiters: when for waiters, when in _slow_streams.get(owner_id, {}).copy().items() if when > since}
    if recent:
        _slow_streams[owner_id] = recent
    else:
        _slow_streams.pop(owner_id, None)
    return len(recent)


def forget_slow() -> None:
    """Forget the streams that were slow too long ago to matter, also of owners who don't come any more."""
    for owner_id in list(_slow_streams):
        _slow_streams_of(owner_id)
