"""Limits on the threads of this process that wait for a stream's models, so that busy streams leave threads to others."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache

from django.conf import settings

from server.core.errors import Unavailable

PATIENCE = 0.5
"""Seconds that a thread waits before it checks whether it may wait longer, and that the first of many may wait."""
LOADING_PATIENCE = 0.2
"""Seconds that a thread waits for a slot to load models."""
SLOW_FACTOR = 30
"""If a stream's models took long twice, the stream counts as slow for this many times their duration."""
MANY_POINTS = 100
"""A request with at least this many points counts as one that may take long."""
MAX_SLOW_STREAMS = 4
"""An owner with this many streams that were slow within :data:`SLOW_STREAM_SECONDS` has no trusted streams."""
SLOW_STREAM_SECONDS = 300.0
"""Seconds for which a slow stream counts for :data:`MAX_SLOW_STREAMS`."""

_long: set[int] = set()
"""Threads of requests with many points, or to streams that are not trusted."""
_slow_streams: dict[int, dict["WaitingThreads", float]] = {}
"""By owner: the streams that took long recently, and when."""
_slow: dict[int, "WaitingThreads"] = {}
"""By thread: the slow stream that it works on or waits for."""
_deciding = threading.Lock()


def slot_for(points: int, waiting: "WaitingThreads") -> AbstractContextManager[None]:
    """Return a context in which the request holds one of the slots for requests that may take long, if it is one.

    Such requests have many points, or go to a stream that was slow recently or whose owner has slow streams. They may use
    three quarters of the threads.

    Raises
    ------
    Unavailable
        On entering, if no slot is free.
    """
    return _FREE if points < MANY_POINTS and waiting.is_trusted else _slot_for_many()


_FREE = nullcontext()


@contextmanager
def _slot_for_many() -> Iterator[None]:
    thread = threading.get_ident()
    with _deciding:
        if len(_long) >= max(1, settings.TAILRACE.working_threads * 3 // 4):
            raise Unavailable(
                f"{len(_long)} requests of {MANY_POINTS} points or more, or to models that may be slow, are in progress; try again"
            )
        _long.add(thread)
    try:
        yield
    finally:
        _long.discard(thread)


class NoLoadingSlot(Unavailable):
    """No slot to load models is free. The replicas in memory are unchanged."""


@contextmanager
def slot_to_load(owner_id: int | None = None) -> Iterator[None]:
    """Hold one of the slots for loading models, for their first calls, and for catching up, which may take long.

    They are three quarters of the threads. The streams of one owner may use half of them.

    Raises
    ------
    NoLoadingSlot
        If no slot is free within :data:`LOADING_PATIENCE`.
    """
    rooms = [_loading()] if owner_id is None else [_loading_of(owner_id), _loading()]
    with ExitStack() as held:
        for room in rooms:
            if not room.acquire(timeout=LOADING_PATIENCE):
                raise NoLoadingSlot("the models of many streams are being loaded; try again")
            held.callback(room.release)
        yield


def _slots_to_load() -> int:
    return max(1, settings.TAILRACE.working_threads * 3 // 4)


@cache
def _loading() -> threading.Semaphore:
    return threading.BoundedSemaphore(_slots_to_load())


@cache
def _loading_of(owner_id: int) -> threading.Semaphore:
    return threading.BoundedSemaphore(max(1, _slots_to_load() // 2))


class WaitingThreads:
    """The threads that wait for one stream, in the order of their arrival.

    Parameters
    ----------
    most
        How many threads may wait without a limit of time, for this stream and for all slow streams.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._since: dict[int, float] = {}
        """When each thread began to wait, by :func:`time.monotonic`."""
        self._is_long = False
        """Whether a thread has waited for long, and many have waited since then."""
        self._slow_until = self._suspect_until = 0.0
        self._was_quick = False
        self.has_long_calls = False
        """Whether the stream's models make long calls (:mod:`server.learning.budgets.long_calls`)."""
        self.owner_id: int | None = None
        """The stream's owner; None if it has none, or before it is known."""

    @property
    def is_trusted(self) -> bool:
        """Whether there is no sign that the stream's models may be slow."""
        if self._suspect_until and time.monotonic() < self._suspect_until:
            return False
        if not _slow_streams:
            return True
        if self.owner_id is not None:
            return _slow_streams_of(self.owner_id) < MAX_SLOW_STREAMS
        return self._was_quick or all(_slow_streams_of(owner_id) < MAX_SLOW_STREAMS for owner_id in list(_slow_streams))

    @property
    def is_slow(self) -> bool:
        """Whether the stream's models are expected to take long."""
        return self._slow_until > 0 and time.monotonic() < self._slow_until

    @property
    def has_any(self) -> bool:
        """Whether a thread waits."""
        return bool(self._since)

    def record_duration(self, seconds: float, used: float) -> None:
        """Record how long a request used the stream's models, and how much CPU time it used, s.

        After one long request, or one that was long because other threads used the CPU, the stream counts as slow for as long
        as the request took. After a second long one, it counts as slow for :data:`SLOW_FACTOR` times as long.
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
                lasts = SLOW_FACTOR * seconds
            self._suspect_until = max(self._suspect_until, now + SLOW_FACTOR * seconds)
        self._slow_until = max(self._slow_until, now + lasts)

    def enter_if_slow(self) -> None:
        """If the stream is slow or its models make long calls, count this thread among those of slow streams, until :meth:`leave`.

        Each slow stream may have at least one thread, even if other slow streams have many.

        Raises
        ------
        Unavailable
            If too many threads use or wait for slow streams already.
        """
        if not (self.has_long_calls or self.is_slow):
            return
        thread = threading.get_ident()
        with _deciding:
            streams = list(_slow.values())
            if len(streams) >= self.most and (self in streams or len(set(streams)) >= self.most):
                raise Unavailable(
                    f"the stream's models are slow, and {len(streams)} requests wait for slow models already; try again"
                )
            _slow[thread] = self

    def start(self) -> None:
        """Begin to wait.

        Raises
        ------
        Unavailable
            If many threads have waited for long.
        """
        if self._is_long:
            self._check(len(self._since))
        self._since[threading.get_ident()] = time.monotonic()

    def check(self, may_leave: Callable[[], bool] = lambda: True) -> None:
        """Check whether the calling thread, which has waited for :data:`PATIENCE`, may wait longer.

        Parameters
        ----------
        may_leave
            Called if it may not. If it returns False, the thread waits on.

        Raises
        ------
        Unavailable
            If too many others wait. The thread has left the queue.
        """
        self._is_long = True
        self._slow_until = max(self._slow_until, time.monotonic() + PATIENCE)
        with _deciding:  # one after the other, so that no more threads leave than necessary
            _slow[threading.get_ident()] = self
            try:
                self._check(len(self._since) - 1)
                if len(_slow) > self.most:
                    raise Unavailable(f"{len(_slow)} requests wait for slow models; try again")
            except Unavailable:
                if may_leave():
                    self.leave()
                    raise

    def stop_waiting(self) -> None:
        """Stop waiting: it is the calling thread's turn."""
        self._since.pop(threading.get_ident(), None)

    def leave(self) -> None:
        """Leave the stream's models."""
        self.stop_waiting()
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
    """Return how many of the owner's streams were slow recently."""
    since = time.monotonic() - SLOW_STREAM_SECONDS
    recent = {waiting: when for waiting, when in _slow_streams.get(owner_id, {}).copy().items() if when > since}
    if recent:
        _slow_streams[owner_id] = recent
    else:
        _slow_streams.pop(owner_id, None)
    return len(recent)


def forget_old_slow_streams() -> None:
    """Forget the streams that were slow too long ago to matter, for all owners."""
    for owner_id in list(_slow_streams):
        _slow_streams_of(owner_id)
