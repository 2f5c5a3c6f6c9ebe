"""Threads of this process that send lines: one for each back end, and one that keeps the files.

They never raise an error into the training. They end with the process, and what they did not send is on disk.
"""

from __future__ import annotations

import os
import threading
import time

from tailrace.errors import Refused, TailraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.tracking.claims import Claim
    from tailrace.tracking.delivery import Delivery
    from tailrace.tracking.spool_file import SpoolFile

__all__ = ["Job", "add_job", "forget_file", "interval_for", "keep_file"]

INTERVAL = 1.0
"""Seconds between two looks at a file."""

RANKS_A_SECOND = 32
"""Of a run with more processes, each sends less often, so that the server gets about as many requests a second."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds after an error. They double."""

TOKEN_PAUSE = 20.0
"""Seconds after a refusal that can end, such as that of a token that has expired."""

KEEP_SECONDS = 1.0


class Job:
    """What one thread does for one run: sends one file to one back end.

    Parameters
    ----------
    file
        The file.
    delivery
        Sends it.
    claim
        The claim to do so.
    alive
        The claim of the process that writes the file.
    interval
        Seconds between two looks at the file.
    sent
        Called when all was sent and the file has ended.
    """

    def __init__(
        self, file: SpoolFile, delivery: Delivery, claim: Claim, alive: Claim, interval: float, sent: Callable[[], None]
    ) -> None:
        self.file = file
        self.delivery = delivery
        self.claim = claim
        self.alive = alive
        self.interval = interval
        self.ended = False
        self.complete = threading.Event()
        self._sent = sent
        self._pause = FIRST_PAUSE
        self.next_at = time.monotonic() + _chance() * min(1.0, interval)

    def work(self) -> None:
        """Send what there is. Sets when to do so again."""
        try:
            ended = self.ended  # before the file is read: what was logged until then is in it
            if not self.claim.renew():
                self.delivery.trouble = "another process sends this file now"
                self.next_at = time.monotonic() + TOKEN_PAUSE
                return
            while self.delivery.step():
                self.file.forget(self.delivery.cursor.offset)
            self.delivery.trouble = ""
            self._pause = FIRST_PAUSE
            self.next_at = time.monotonic() + self.interval
            if ended and self.delivery.done and not self.file.trouble:
                self.delivery.finish()
                self.claim.give_up()
                self.complete.set()
                self._sent()
        except Refused as error:
            self._failed(str(error), TOKEN_PAUSE)
        except TailraceError as error:
            self._failed(str(error), 0.0)
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}", 0.0)

    def _failed(self, why: str, least: float) -> None:
        self.delivery.trouble = why
        self.next_at = time.monotonic() + max(least, self._pause) * (0.75 + _chance() / 2)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _chance() -> float:
    return os.urandom(1)[0] / 256


class _Worker(threading.Thread):
    """A thread that works for the jobs of one back end."""

    def __init__(self, name: str) -> None:
        super().__init__(name=f"tailrace-{name}", daemon=True)
        self.jobs: list[Job] = []
        self.wake = threading.Event()

    def run(self) -> None:
        while True:
            woken = self.wake.is_set()
            self.wake.clear()
            for job in list(self.jobs):
                if time.monotonic() >= job.next_at or (woken and not job.delivery.trouble):
                    job.work()
                if job.complete.is_set():
                    self.jobs.remove(job)
            soonest = min((job.next_at for job in self.jobs), default=time.monotonic() + INTERVAL)
            self.wake.wait(max(0.0, min(INTERVAL, soonest - time.monotonic())))


class _Keeper(threading.Thread):
    """A thread that writes to disk what was kept in memory, and renews claims."""

    def __init__(self) -> None:
        super().__init__(name="tailrace-spool", daemon=True)
        self.kept: dict[SpoolFile, Claim] = {}

    def run(self) -> None:
        while True:
            for file, claim in list(self.kept.items()):
                try:
                    file.write_pending()
                    claim.renew()
                except Exception as error:  # the thread must go on
                    file.trouble = f"{type(error).__name__}: {error}"
            time.sleep(KEEP_SECONDS)


class _Threads:
    """The threads of one process. A process that was forked makes its own."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.workers: dict[str, _Worker] = {}
        self.keeper = _Keeper()
        self.keeper.start()


_threads: _Threads | None = None


def _ours() -> _Threads:
    global _threads
    if _threads is None or _threads.process != os.getpid():
        _threads = _Threads()
    return _threads


def add_job(job: Job) -> Callable[[], None]:
    """Have a job done by the thread of its back end. Returns a function that wakes it up."""
    threads = _ours()
    threads.keeper.kept[job.file] = job.alive
    key = job.delivery.backend.key
    worker = threads.workers.get(key)
    if worker is None:
        worker = threads.workers[key] = _Worker(key)
        worker.jobs.append(job)
        worker.start()
    else:
        worker.jobs.append(job)
    return worker.wake.set


def keep_file(file: SpoolFile, alive: Claim) -> None:
    """Write to disk what was kept in memory of a file, and renew the claim of its process."""
    _ours().keeper.kept[file] = alive


def forget_file(file: SpoolFile) -> None:
    """Do not look after a file any more."""
    if _threads is not None:
        _threads.keeper.kept.pop(file, None)


def interval_for(ranks: int) -> float:
    """Returns the seconds between two looks at a file, for a run of so many processes."""
    return max(INTERVAL, ranks / RANKS_A_SECOND)
