"""Jobs under way: here, as processes of this machine, or in the queue of a batch system."""

from __future__ import annotations

import fcntl
import math
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from tailrace.spool import write_whole

from lammps_jobs import processes
from lammps_jobs.plan import read_json
from lammps_jobs.run import OUTPUT, start_script
from lammps_jobs.sweep import queues
from lammps_jobs.sweep.jobs import Recipe
from lammps_jobs.sweep.plan import SweepJob

__all__ = ["Here", "Queued", "Runner"]

NUMBER = "submitted.json"


class Runner(ABC):
    """Starts jobs and says which of them have ended."""

    rest = 0.1
    """Seconds between two looks at what has ended."""

    def __init__(self, recipe: Recipe, environment: Mapping[str, str]) -> None:
        self.recipe = recipe
        self._environment = environment

    @abstractmethod
    def start(self, job: SweepJob) -> None:
        """Start a job, whose files are written. Raises QueueFailed if it isn't taken."""

    @abstractmethod
    def adopt(self, job: SweepJob) -> bool:
        """Take over a job that an earlier sweep started, if it is still under way."""

    @abstractmethod
    def ended(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        """Those of the jobs that are no longer under way. Raises QueueFailed if that can't be told now."""

    def stuck(self, jobs: Iterable[SweepJob]) -> dict[str, str]:
        """Why jobs don't start as things are, by the batch system's reason: a sentence for each."""
        return {}

    @abstractmethod
    def leave(self) -> str:
        """End what can't go on by itself, and say in words what becomes of the rest."""


class Here(Runner):
    """Runs scripts as processes of this machine."""

    def __init__(self, recipe: Recipe, environment: Mapping[str, str]) -> None:
        super().__init__(recipe, environment)
        self._processes: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def start(self, job: SweepJob) -> None:
        script = self.recipe.write(job)
        self._processes[job.name] = (start_script(script, self._environment), time.monotonic())

    def adopt(self, job: SweepJob) -> bool:
        return self._locked(job)

    def ended(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        return [job for job in jobs if self._ended(job)]

    def leave(self) -> str:
        for process, _ in self._processes.values():
            processes.end(process, grace=5)
        return "The jobs that ran here were ended."

    def _ended(self, job: SweepJob) -> bool:
        if job.name not in self._processes:
            return not self._locked(job)
        process, started = self._processes[job.name]
        limit = self.recipe.limit
        if process.poll() is None and limit is not None and time.monotonic() - started > limit:
            processes.end(process, grace=5)
        if process.poll() is None:
            return False
        del self._processes[job.name]
        return True

    def _locked(self, job: SweepJob) -> bool:
        # The job's processes hold the lock, also where the sweep that started them was killed.
        try:
            with open(self.recipe.directory.job(job) / OUTPUT, "rb") as output:
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


class Queued(Runner):
    """Hands scripts to a batch system, in whose queue they stay when the sweep is stopped."""

    rest = 1.0
    longest_rest = 15.0

    def __init__(self, recipe: Recipe, environment: Mapping[str, str]) -> None:
        super().__init__(recipe, environment)
        self._seen: dict[str, str] = {}
        self._seen_at = -math.inf

    def start(self, job: SweepJob) -> None:
        script = self.recipe.write(job)
        command = self.recipe.submit(job)
        assert command is not None
        self._seen_at = -math.inf
        with _uninterrupted():
            # Stopped between the two, the sweep would not know its job again.
            before = self._number(job)
            self._record(job, None, before)
            try:
                number = queues.submit(command, script.parent, self._environment)
            except queues.QueueFailed:
                # sbatch also fails where the controller took the job and could not say so in time.
                if (taken := self._found(job)) is None:
                    self._record(job, before)
                    raise
                number = taken
            self._record(job, number)

    def adopt(self, job: SweepJob) -> bool:
        number = self._number(job)
        if number is None and (number := self._found(job)) is not None:
            self._record(job, number)
        return number in self._listed()

    def _record(self, job: SweepJob, number: str | None, before: str | None = None) -> None:
        """Write down a job's number, or that it is handed in and has none yet, and which one it had before."""
        record = {"launcher": self.recipe.launcher.name, "number": number, "before": before}
        write_whole(self.recipe.directory.job(job) / NUMBER, record)

    def _found(self, job: SweepJob) -> str | None:
        """The number of a job that was handed in and has none. Raises QueueFailed if the batch system can't say now."""
        submitted = read_json(self.recipe.directory.job(job) / NUMBER) or {}
        if submitted.get("launcher") != self.recipe.launcher.name or submitted.get("number") is not None:
            return None
        numbers = queues.found(self.recipe.launcher.name, job.name, self.recipe.directory.job(job))
        return max((number for number in numbers if number != submitted.get("before")), key=int, default=None)

    def ended(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        listed = self._listed()
        ended = [job for job in jobs if self._number(job) not in listed]
        # A queue in which nothing moves is asked less and less often.
        self.rest = type(self).rest if ended else min(self.longest_rest, 1.2 * self.rest)
        return ended

    def stuck(self, jobs: Iterable[SweepJob]) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for job in jobs:
            number = self._number(job)
            if number is not None and (reason := self._seen.get(number)):
                found.setdefault(reason, []).append(number)
        return {
            reason: f"Job {numbers[0]}{f' and {len(numbers) - 1} more' if len(numbers) > 1 else ''} will not start as things "
            f"are: Slurm says {reason}. Change what it asks for (scontrol update), or cancel it (scancel {' '.join(numbers)})."
            for reason, numbers in found.items()
        }

    def leave(self) -> str:
        return "The jobs in the queue stay there, and report themselves."

    def _listed(self) -> dict[str, str]:
        if time.monotonic() - self._seen_at > type(self).rest / 2:
            self._seen = queues.listed(self.recipe.launcher.name)
            self._seen_at = time.monotonic()
        return self._seen

    def _number(self, job: SweepJob) -> str | None:
        submitted = read_json(self.recipe.directory.job(job) / NUMBER)
        if submitted is None or submitted["launcher"] != self.recipe.launcher.name:
            return None
        return None if submitted["number"] is None else str(submitted["number"])


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM to the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
