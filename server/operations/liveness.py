"""Whether this process still works: a thread looks every second for what no longer moves.

A process is stuck if a stream's models are held by one thread that comes no further (an estimator that never returns), or if
its maintenance thread has ended or comes no further; and the database answers, which else is what they wait for. It says so
in the log, with what its threads do; who probes it hears it; and after as long again it ends itself, so that
the server starts another in its place. What was acknowledged is on disk.
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

from server.learning import progress
from server.learning.replicaset import SETS, ReplicaSet

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks."""

MOST_STACKS = 20
"""Different stacks that are logged of a process that is stuck."""


class Watch(threading.Thread):
    """The thread that looks.

    Parameters
    ----------
    seconds
        How long nothing may move.
    database_answers
        Whether the database does, asked once something hasn't moved for half of that.
    end
        What is done with a process that has been stuck for as long again.
    """

    def __init__(
        self, seconds: float, database_answers: Callable[[], bool], end: Callable[[], None] | None = None
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self.seconds = seconds
        self.patience = PAUSE / 2
        """Seconds that a look waits for all that is held: what is only busy is let go of within them."""
        self.reason = ""
        """Why the process is stuck; empty while it isn't."""
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
        """One look."""
        still = dict(self._held())
        still.update(progress.moves())
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
            logger.critical("stuck: %s. What the threads do:\n%s", self.reason, "\n".join(stacks()))
        if now - oldest > 2 * self.seconds:
            logger.critical("stuck for %.0f s: this process ends, so that another takes its place", now - oldest)
            self._end()

    def _held(self) -> Iterable[tuple[Hashable, Hashable]]:
        """The replica sets that somebody holds, and how far they are: a set that moves is only busy."""
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
    """What the threads of this process do: each different stack once, with how many threads have it."""
    counted = Counter("".join(traceback.format_stack(frame)) for frame in sys._current_frames().values())
    return [f"{count} × {stack}" for stack, count in counted.most_common(MOST_STACKS)]


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_watch: Watch | None = None
_pid = 0


def start(seconds: float, database_answers: Callable[[], bool]) -> None:
    """Start to look, once in each process."""
    global _watch, _pid
    if _watch is None or _pid != os.getpid():
        _watch, _pid = Watch(seconds, database_answers), os.getpid()
        _watch.start()


def stuck() -> str:
    """Why this process is stuck; empty if it isn't, or nobody looks."""
    return "" if _watch is None else _watch.reason
