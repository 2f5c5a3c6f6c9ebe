"""Watches over the workers' calls of estimators, from the process that is their parent.

A worker marks each call in memory that is shared with this process (:mod:`server.learning.call_marks`). A call that takes more
time or memory than its budget is stopped by ending its worker, of which another takes the place; a worker that died in a call
leaves the mark. Either way a verdict over the model is left for the workers (:mod:`server.learning.quarantine`) *before* the
next one can ask it again. Nothing here needs the worker's interpreter, the database, or a lock that a worker holds.

Time is counted in looks, not by the clock: a machine that was suspended, or is too busy to let this thread run, makes no call
look long. And a call has to have used the CPU itself (:func:`server.learning.budgets.spent`): a thread that waits for another in
its process, or that was stopped, is not to blame.
"""

import logging
import os
import re
import signal
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from server.config import Config
from server.learning import call_marks
from server.learning.budgets import Usage, resident_bytes, spent, usage, waited
from server.learning.call_marks import KINDS, LEARN, LOAD, PREDICT, REPLAY, STORE, Mark, Marks
from server.learning.quarantine import Verdict, leave

logger = logging.getLogger(__name__)

PAUSE = 0.05
"""Seconds between two looks."""

LONG = 5
"""Looks after which a call is long: from then on it costs one to see how long its process waits for a CPU."""

FILES_EVERY = 5
"""Looks between two searches for the marks of new workers."""

SUSPECT = 0.25
"""Share of a budget from which on a call is taken for the cause of its process's death, if that left no other."""

CLEARS = 0.05
"""Seconds of the kernel from which on it says whose memory it cleared: it takes 0.1 s and more for a gigabyte."""

_CURRENT = re.compile(r"Current thread 0x([0-9a-f]+)")


@dataclass
class _Call:
    """A call that was seen before."""

    mark: Mark
    own: Usage
    """What its thread had used when it was first seen."""
    all: Usage
    """What its process had used then."""
    resident: int
    """Its process's memory then, bytes."""
    looks: int = 0
    waited: float = 0.0
    """How long its process's threads had waited for a CPU at the :data:`LONG`-th look, s."""


@dataclass
class _Worker:
    """A process whose marks are read."""

    marks: Marks
    calls: dict[int, _Call] = field(default_factory=dict)
    told: int = 0
    ended: bool = False
    """Whether it was ended from here."""
    worst: "_Found | None" = None
    """The call that had used most of its budget at the last look."""


class _Found(NamedTuple):
    """What was found of a call at a look."""

    share: float
    """Of its budget that is used; more than 1 is too much."""
    mark: Mark
    by: str
    """Of what: time or memory."""
    why: str
    """To say if it is too much."""


class Supervisor(threading.Thread):
    """The thread that looks; begun in the parent of the workers before there are any.

    Parameters
    ----------
    directory
        Where the workers' marks are.
    settings
        The budgets.
    """

    def __init__(self, directory: Path, settings: Config) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.directory = directory
        # What is stored and read holds the interpreter's lock: all of its process waits for it.
        self.seconds = dict.fromkeys((LEARN, PREDICT, REPLAY, STORE, LOAD), settings.call_seconds)
        self.block_seconds = settings.block_seconds
        self.growth = settings.call_memory_mb * 2**20
        self._workers: dict[Path, _Worker] = {}
        self._verdicts = 0
        self._looks = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(PAUSE):
            try:
                self.step()
            except Exception:
                logger.exception("the supervisor failed to look, and looks again")

    def step(self) -> None:
        """One look at all workers."""
        if self._looks % FILES_EVERY == 0:
            self._find_workers()
        self._looks += 1
        for path, worker in list(self._workers.items()):
            state = _state(worker.marks.pid)
            if state is None:
                self._bury(path, worker)
            elif state[0] not in "ZTt" and state[1] == os.getpid():
                self._watch(worker)
        for worker in self._workers.values():
            if worker.told != self._verdicts:
                worker.marks.tell(self._verdicts)
                worker.told = self._verdicts

    def _find_workers(self) -> None:
        for path in self.directory.glob(f"*.{call_marks.ENDING}"):
            if path not in self._workers:
                try:
                    self._workers[path] = _Worker(Marks(path))
                except (OSError, ValueError) as exc:
                    logger.warning("no marks of calls in %s: %s", path, exc)
                    path.unlink(missing_ok=True)

    def _watch(self, worker: _Worker) -> None:
        if worker.ended:
            return
        running = worker.marks.running()
        calls: dict[int, _Call] = {}
        worker.worst = None
        if not running:
            worker.calls = calls
            return
        pid = worker.marks.pid
        resident, used = resident_bytes(pid), usage(pid)
        found: list[_Found] = []
        for mark in running:
            known = worker.calls.get(mark.row)
            if known is None or known.mark != mark:
                known = _Call(mark, usage(pid, mark.thread), used, resident)
            known.looks += 1
            calls[mark.row] = known
            if known.looks > 1:
                found.append(self._judged(pid, known, usage(pid, mark.thread), used, resident, alone=len(running) == 1))
        worker.calls = calls
        worst = max(found, key=lambda one: one.share, default=None)
        if worst is None:
            return
        worker.worst = worst
        if worst.share > 1:
            self._condemn(worst.mark, worst.why)
            logger.error("worker %d is ended: %s", pid, worst.why)
            worker.ended = True
            os.kill(pid, signal.SIGKILL)

    def _judged(self, pid: int, call: _Call, own: Usage, used: Usage, resident: int, *, alone: bool) -> _Found:
        """Which share of its budget a call has used.

        The process's memory grows by the call whose thread has most of it cleared by the kernel, or touches most of its pages.
        """
        budget = self.seconds.get(call.mark.kind, self.block_seconds)
        seconds = call.looks * PAUSE
        cpu = own.cpu - call.own.cpu
        others = max(0.0, used.cpu - call.all.cpu - cpu)
        if call.looks == LONG:
            call.waited = waited(pid)
        elif call.looks > LONG:
            others += waited(pid) - call.waited
        by_time = spent(budget, seconds, cpu, others)
        growth = resident - call.resident
        system, pages = used.system - call.all.system, used.pages - call.all.pages
        if system >= CLEARS:
            is_its = own.system - call.own.system >= system / 2
        elif pages:
            is_its = own.pages - call.own.pages >= pages / 2
        else:
            is_its = alone or cpu >= seconds / 4
        by_memory = growth / self.growth if is_its else 0.0
        if by_memory > max(1.0, by_time):
            why = f"the server's process grew by {growth // 2**20} MB in one call; the most allowed is {self.growth // 2**20} MB"
        else:
            why = f"one call took {seconds:.1f} s; the most allowed is {budget:g} s"
        return _Found(max(by_time, by_memory), call.mark, "memory" if by_memory > by_time else "time", why)

    def _bury(self, path: Path, worker: _Worker) -> None:
        """See what a worker died of. Its marks are as they were."""
        running = worker.marks.running()
        fault = path.with_suffix(f".{call_marks.FAULT}")
        said = fault.read_text(errors="replace") if fault.exists() else ""
        if worker.ended:
            running = []
        if said:
            thread = _CURRENT.search(said)
            guilty = [mark for mark in running if thread is not None and mark.ident == int(thread[1], 16)]
            # A thread of an estimator's own is in no call; where there is but one, it must be that one's.
            for mark in guilty or (running if len(running) == 1 else []):
                self._condemn(mark, f"one call ended the server's process ({said.splitlines()[0]})")
        elif worker.worst is not None and worker.worst.share >= SUSPECT and worker.worst.mark in running:
            by = worker.worst.by
            self._condemn(
                worker.worst.mark, f"the server's process was ended from outside while one call took much {by}"
            )
        worker.marks.close()
        for gone in (path, fault):
            gone.unlink(missing_ok=True)
        del self._workers[path]

    def _condemn(self, mark: Mark, why: str) -> None:
        if mark.model_id <= 0:
            return
        call = KINDS.get(mark.kind, "call")
        at = mark.seq if mark.kind in (LEARN, REPLAY) else None
        where = f" of observation {at}" if at is not None else ""
        leave(self.directory, Verdict(str(uuid.uuid4()), mark.model_id, call, at, f"{call}{where}: {why}"))
        self._verdicts += 1


def _state(pid: int) -> tuple[str, int] | None:
    """A process's state, as the kernel's letter, and its parent; None if there is no such process."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return state, int(parent)


def start(settings: Config) -> Supervisor:
    """Begin to watch over the processes that this one forks."""
    directory = settings.var_dir / "calls"
    directory.mkdir(parents=True, exist_ok=True)
    found = Supervisor(directory, settings)
    call_marks.Supervised.by = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # the main thread's alone
    try:
        found.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return found
