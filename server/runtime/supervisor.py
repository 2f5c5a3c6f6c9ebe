"""Supervision of the workers' calls of estimators, in their parent process.

A worker marks each call in memory that it shares with this process (:mod:`server.learning.budgets.call_marks`). If a call
exceeds its budget of time or memory, the supervisor kills the worker, and another one takes its place. A worker that crashes
in a call leaves the mark behind. In both cases the supervisor stores a verdict on the model
(:mod:`server.learning.quarantine`) *before* a new worker can call it again. It needs neither the worker's interpreter,
nor the database, nor a lock that a worker holds.

Time is counted in checks, not by the clock, so that a suspended or overloaded machine doesn't make a call look long. A call
must also have used the CPU itself (:func:`server.learning.budgets.cpu_usage.budget_share`), so that threads that only wait are not
blamed.
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
from server.learning.budgets import call_marks
from server.learning.budgets.call_marks import KINDS, LEARN, LOAD, PREDICT, REPLAY, STORE, Mark, Marks
from server.learning.budgets.cpu_usage import CpuWait, Usage, budget_share, resident_bytes, usage
from server.learning.quarantine import Verdict, leave

logger = logging.getLogger(__name__)

PAUSE = 0.05
"""Seconds between two checks."""

LONG = 5
"""Number of checks after which a call is long. From then on, the time that its process waits for a CPU is read, too."""

FILES_EVERY = 5
"""Number of checks between two searches for the marks of new workers."""

SUSPECT = 0.25
"""Share of its budget from which a call is considered the cause of its process's death, if no other cause is known."""

CLEARS = 0.05
"""Seconds of system time from which it shows which thread allocated memory. The kernel clears 1 GB in 0.1 s or more."""

_CURRENT = re.compile(r"Current thread 0x([0-9a-f]+)")


@dataclass
class _Call:
    """A call that was seen in an earlier check."""

    mark: Mark
    own: Usage
    """CPU usage of its thread when it was first seen."""
    all: Usage
    """CPU usage of its process at that time."""
    resident: int
    """Memory of its process at that time, bytes."""
    looks: int = 0
    wait: CpuWait | None = None
    """Time that the threads of its process have waited for a CPU since check number :data:`LONG`."""


@dataclass
class _Worker:
    """A process whose marks are read."""

    marks: Marks
    calls: dict[int, _Call] = field(default_factory=dict)
    told: int = 0
    ended: bool = False
    """Whether the supervisor killed it."""
    worst: "_Found | None" = None
    """The call that had used the largest share of its budget at the last check."""


class _Found(NamedTuple):
    """The result of a check of one call."""

    share: float
    """Used share of its budget; it is exceeded above 1."""
    mark: Mark
    by: str
    """``time`` or ``memory``."""
    why: str
    """The message if the budget is exceeded."""


class Supervisor(threading.Thread):
    """The thread that checks the calls. It starts in the workers' parent process, before the workers.

    Parameters
    ----------
    directory
        Directory of the workers' marks.
    settings
        Settings with the budgets.
    """

    def __init__(self, directory: Path, settings: Config) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.directory = directory
        # Storing and loading hold the GIL, so the whole process waits.
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
                logger.exception("a check of the supervisor failed; it continues")

    def step(self) -> None:
        """Check all workers once."""
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
                worker.marks.report_verdicts(self._verdicts)
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
            logger.error("killing worker %d: %s", pid, worst.why)
            worker.ended = True
            os.kill(pid, signal.SIGKILL)

    def _judged(self, pid: int, call: _Call, own: Usage, used: Usage, resident: int, *, alone: bool) -> _Found:
        """Compute the used share of a call's budget.

        Memory growth of the process is attributed to the call whose thread used most of the system time, or touched most pages.
        """
        budget = self.seconds.get(call.mark.kind, self.block_seconds)
        seconds = call.looks * PAUSE
        cpu = own.cpu - call.own.cpu
        others = max(0.0, used.cpu - call.all.cpu - cpu)
        if call.looks == LONG:
            call.wait = CpuWait(pid)
        elif call.wait is not None:
            others += call.wait.seconds()
        by_time = budget_share(budget, seconds, cpu, others)
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
            why = f"the process grew by {growth // 2**20} MB in one call; the most allowed is {self.growth // 2**20} MB"
        else:
            why = f"one call took {seconds:.1f} s ({cpu:.1f} s of CPU); the most allowed is {budget:g} s"
        return _Found(max(by_time, by_memory), call.mark, "memory" if by_memory > by_time else "time", why)

    def _bury(self, path: Path, worker: _Worker) -> None:
        """Find out why a worker died, from the marks that it left."""
        running = worker.marks.running()
        fault = path.with_suffix(f".{call_marks.FAULT}")
        said = fault.read_text(errors="replace") if fault.exists() else ""
        if worker.ended:
            running = []
        if said:
            thread = _CURRENT.search(said)
            guilty = [mark for mark in running if thread is not None and mark.ident == int(thread[1], 16)]
            # A thread that an estimator started has no mark. If only one call was running, it belongs to that call.
            for mark in guilty or (running if len(running) == 1 else []):
                self._condemn(mark, f"one call crashed the process ({said.splitlines()[0]})")
        elif worker.worst is not None and worker.worst.share >= SUSPECT and worker.worst.mark in running:
            by = worker.worst.by
            self._condemn(worker.worst.mark, f"the process was killed from outside while one call used much {by}")
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
    """Return a process's state, as the kernel's letter, and its parent; None if there is no such process."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return state, int(parent)


def start(settings: Config) -> Supervisor:
    """Start to supervise the processes that this one forks."""
    directory = settings.var_dir / "calls"
    directory.mkdir(parents=True, exist_ok=True)
    found = Supervisor(directory, settings)
    call_marks.Supervisor.pid = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals go to the main thread only
    try:
        found.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return found
