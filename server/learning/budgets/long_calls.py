"""Long calls of estimators: one at a time in a process, with pauses in which other requests can run.

One call of a large model may run compiled code that holds the interpreter lock for half a second or more. A request of
another stream needs the lock several times, and would wait for such a call each time. So long calls take turns, and
after each one its thread pauses before the next one may begin.
"""

import os
import threading
import time
from types import TracebackType

LONG = 0.25
"""A call that uses more CPU time than this is long, s."""
MANY, MORE = 100, 10
"""Number of consecutive calls that must be short before a model that made a long call counts as quick again.

Each time it makes a long call after that, it is this many times as many.
"""
PAUSE = 0.5
"""Length of the pause after a long call, as a share of the time that the call took."""
LONGEST_PAUSE = 0.75
"""Longest pause, s."""
PATIENCE = 0.25
"""Seconds that the first call of a model waits for first calls of other owners' models. After that it runs beside one."""
MOST_KNOWN = 10_000
"""Number of lengths that a process remembers."""


class _Turns:
    """The locks of this process.

    Attributes
    ----------
    long
        For calls of models that make long calls, and for large states.
    first
        For the first calls of models.
    first_of
        The same, by owner. So one owner's models make one first call at a time, however long the others wait.
    """

    long = threading.RLock()
    first = threading.RLock()
    first_of: "dict[int | None, threading.RLock]" = {}

    @classmethod
    def renew(cls) -> None:
        """Replace the locks in a forked process: threads of the parent may hold them."""
        cls.long, cls.first, cls.first_of = threading.RLock(), threading.RLock(), {}


os.register_at_fork(after_in_child=_Turns.renew)


class CallLength:
    """What this process knows about the length of one kind of call of one model.

    Attributes
    ----------
    is_short
        Whether the calls need no turn. The hot paths read it.
    is_long
        Whether one of the last :data:`MANY` calls was long.
    features
        Most features of a point for which that is known: twice the largest measured. A call with more counts as a first call.
    """

    __slots__ = ("_left", "_needed", "features", "is_long", "is_short")

    def __init__(self) -> None:
        self.is_short = self.is_long = False
        self.features = -1
        self._left = self._needed = 1

    def record(self, cpu: float, features: int = 0) -> None:
        """Record the CPU time of one call, s, and the number of features of its point."""
        self.features = max(self.features, 2 * features)
        if cpu > LONG:
            if not self.is_long:
                self._needed = MANY if self._needed == 1 else MORE * self._needed
            self.is_short, self.is_long, self._left = False, True, self._needed
            return
        self._left = max(0, self._left - 1)
        if self._left == 0:
            self.is_short, self.is_long = True, False

    def doubt(self) -> None:
        """Measure the next calls, since several together took long. They wait for no turn before one of them is long."""
        if self.is_short:
            self.is_short, self._left = False, max(MANY, self._needed)

    def turn(self, owner_id: int | None = None, features: int = 0) -> "_Turn":
        """Return a context for one call. It waits for the end of other long calls, and pauses after a long one.

        Parameters
        ----------
        owner_id
            The model's owner.
        features
            The most features of a point in the call.
        """
        if self.is_long:
            return _Turn(self, features, (_Turns.long, -1))
        if features > self.features:
            own = _Turns.first_of.setdefault(owner_id, threading.RLock())
            return _Turn(self, features, (own, -1), (_Turns.first, PATIENCE))
        return _Turn(self, features)


class _Turn:
    """A context that holds locks, each of which it waits for at most so many seconds (-1: without limit)."""

    def __init__(self, length: CallLength | None, features: int, *locks: "tuple[threading.RLock, float]") -> None:
        self._length, self._features = length, features
        self._locks = locks

    def __enter__(self) -> None:
        self._held = [lock for lock, patience in self._locks if lock.acquire(timeout=patience)]
        self._began, self._used = time.monotonic(), time.thread_time()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        used = time.thread_time() - self._used
        if self._length is not None:
            self._length.record(used, self._features)
        if self._held and used > LONG:
            # By the clock, since on a busy machine the others get no more of the CPU than the call did.
            time.sleep(min(PAUSE * max(used, time.monotonic() - self._began), LONGEST_PAUSE))
        for lock in self._held:
            lock.release()


def turn() -> _Turn:
    """Return a context for work that is known to take long, such as reading or writing a large state."""
    return _Turn(None, 0, (_Turns.long, -1))


_lengths: dict[tuple[int, str], CallLength] = {}


def length_of(model_id: int, kind: str) -> CallLength:
    """Return what is known of a model's calls of one kind. All replicas of the model in this process share it.

    So a model doesn't appear to be quick whenever its replica is loaded again.
    """
    found = _lengths.get((model_id, kind))
    if found is None:
        while len(_lengths) >= MOST_KNOWN:
            _lengths.pop(next(iter(_lengths)), None)
        found = _lengths.setdefault((model_id, kind), CallLength())
    return found
