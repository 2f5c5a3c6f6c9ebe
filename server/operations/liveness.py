"""Watchdog of this process: a thread that checks every second for lack of progress.

A process is stuck if a thread holds a stream's models without progress (an estimator that never returns), or if its maintenance
thread has ended or makes no progress; but only if the database responds, because otherwise they may wait for it. A stuck
process logs it, with the stacks of its threads, and its probes fail. After the same time again it kills itself, so that the
server starts another one. Acknowledged data is on disk.
"""

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from server.learning.background import liveness_marks
from server.learning.fold.replica_set import SETS, ReplicaSet

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two checks."""

MOST_STACKS = 20
"""Largest number of different stacks that are logged."""


class Watch(threading.Thread):
    """The watchdog thread.

    Parameters
    ----------
    seconds
        Time without progress after which the process is stuck.
    database_answers
        Returns whether the database responds. Called after half of that time without progress.
    end
        Called after the process was stuck for the same time again. By default it kills the process.
    """

    def __init__(
        self, seconds: float, database_answers: Callable[[], bool], end: Callable[[], None] | None = None
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self.seconds = seconds
        self.patience = PAUSE / 2
        """Seconds that a check waits for locks that are held. Locks that are only busy become free within them."""
        self.reason = ""
        """Why the process is stuck; empty if it isn't."""
        self._database_answers = database_answers
        self._end = end or _end
        self._since: dict[Hashable, tuple[Hashable, float]] = {}
        self._waits = False
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(PAUSE):
            self.step(time.monotonic())

    def step(self, now: float) -> None:
        """Check once."""
        still = dict(self._held())
        still.update(liveness_marks.counts())
        self._since = {
            key: (mark, self._since[key][1] if key in self._since and self._since[key][0] == mark else now)
            for key, mark in still.items()
        }
        oldest, key = min(((since, key) for key, (_, since) in self._since.items()), key=lambda found: found[0])
        if self._waits or now - oldest > self.seconds / 2:
            self._waits = not self._database_answers()
        if self._waits:
            self._since = {key: (mark, now) for key, (mark, _) in self._since.items()}
            oldest = now
        if now - oldest <= self.seconds:
            if self.reason:
                logger.warning("no longer stuck: %s", self.reason)
            self.reason = ""
            return
        if not self.reason:
            self.reason = f"{_named(key)} for more than {self.seconds:g} s"
            logger.critical("stuck: %s. Stacks of the threads:\n%s", self.reason, "\n".join(stacks()))
        if now - oldest > 2 * self.seconds:
            logger.critical("stuck for %.0f s: this process ends, and the server starts another one", now - oldest)
            self._end()

    def _held(self) -> Iterable[tuple[Hashable, Hashable]]:
        """Yield the locked replica sets and their progress. A set that progresses is only busy."""
        held = [replicas for replicas in SETS.all() if not _is_free(replicas, 0)]
        for replicas in held:
            if not _is_free(replicas, self.patience / len(held)):
                yield replicas.stream_id, sum(replica.n for replica in list(replicas.replicas.values()))


def _is_free(replicas: ReplicaSet, patience: float) -> bool:
    if not replicas.lock.acquire(timeout=patience):
        return False
    replicas.lock.release()
    return True


def _named(key: Hashable) -> str:
    return f"the models of stream {key} haven't moved" if isinstance(key, int) else f"the {key} thread hasn't moved"


def stacks() -> list[str]:
    """Return the stacks of all threads: each different stack once, with its number of threads."""
    counted = Counter("".join(traceback.format_stack(frame)) for frame in sys._current_frames().values())
    return [f"{count} × {stack}" for stack, count in counted.most_common(MOST_STACKS)]


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_watch: Watch | None = None
_pid = 0


def start(seconds: float, database_answers: Callable[[], bool]) -> None:
    """Start the watchdog, once in each process."""
    global _watch, _pid
    if _watch is None or _pid != os.getpid():
        _watch, _pid = Watch(seconds, database_answers), os.getpid()
        _watch.start()


def stuck() -> str:
    """Return why this process is stuck; empty if it isn't, or if the watchdog doesn't run."""
    return "" if _watch is None else _watch.reason
