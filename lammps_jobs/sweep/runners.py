"""Runners: run jobs as processes of this machine, or in the queue of a batch system."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from tailrace.atomic_files import read_json, write_json
from tailrace.launchers.job_queues import Job, QueuedJob
from tailrace.launchers.queue_kinds import make_queue
from tailrace.launchers.queues import QueueFailed, cluster_of, lasting_reason

from lammps_jobs.runs import processes
from lammps_jobs.runs.lammps_job import OUTPUT, start_script
from lammps_jobs.sweep.jobs import JobBuilder
from lammps_jobs.sweep.plan import SweepJob

__all__ = ["LocalRunner", "QueueRunner", "Runner", "SubmissionFailed"]

RECORD = "submitted.json"


class SubmissionFailed(QueueFailed):
    """The batch system did not accept a job, and does not have it. The message is what it said."""


class Runner(ABC):
    """Starts jobs, and tells which of them have ended."""

    rest = 0.1
    """Seconds between two checks for ended jobs."""

    def __init__(self, builder: JobBuilder, environment: Mapping[str, str]) -> None:
        self.builder = builder
        self._environment = environment

    @abstractmethod
    def start(self, job: SweepJob) -> None:
        """Start a job."""

    @abstractmethod
    def adopt(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        """Take over the jobs that an earlier start of the sweep has started and that still wait or run. Return them.

        Raises QueueFailed if the batch system can't tell.
        """

    @abstractmethod
    def ended(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        """Return the jobs that have ended.

        Raises SubmissionFailed if the batch system doesn't have one that it didn't accept, QueueFailed if it can't tell now.
        """

    def stuck(self, jobs: Iterable[SweepJob]) -> dict[str, str]:
        """Return why jobs can't start: the batch system's reason to a message."""
        return {}

    @abstractmethod
    def leave(self) -> str:
        """End the jobs that need this process. Return a message about what happens to the others."""


class LocalRunner(Runner):
    """Runs scripts as processes of this machine."""

    def __init__(self, builder: JobBuilder, environment: Mapping[str, str]) -> None:
        super().__init__(builder, environment)
        self._processes: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def start(self, job: SweepJob) -> None:
        script = self.builder.write(job)
        self._processes[job.name] = (start_script(script, self._environment), time.monotonic())

    def adopt(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        return [job for job in jobs if self._locked(job)]

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
        limit = self.builder.limit
        if process.poll() is None and limit is not None and time.monotonic() - started > limit:
            processes.end(process, grace=5)
        if process.poll() is None:
            return False
        del self._processes[job.name]
        return True

    def _locked(self, job: SweepJob) -> bool:
        # The job's processes hold the lock, even if the sweep that started them was killed.
        try:
            with open(self.builder.directory.job(job) / OUTPUT, "rb") as output:
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


class QueueRunner(Runner):
    """Submits scripts to a batch system. They stay in its queue when the sweep is stopped.

    A job is known by its name and its fence, which is stored before the job is submitted. So it is found again if the sweep
    is killed just then, or if the submission fails after the batch system has accepted the job.
    """

    rest = 1.0
    longest_rest = 15.0
    gap = 3.0
    """Seconds between two answers of the queue that do not have a job, before its failed submission counts as failed."""

    def __init__(self, builder: JobBuilder, environment: Mapping[str, str]) -> None:
        super().__init__(builder, environment)
        self._queue = make_queue(builder.launcher, environment)
        self._seen: dict[str, QueuedJob] = {}
        self._doubtful: dict[str, tuple[str, float | None]] = {}

    def start(self, job: SweepJob) -> None:
        fence = (self._fence(job) or 0) + 1
        directory = self.builder.directory.job(job)
        directory.mkdir(parents=True, exist_ok=True)
        record = {"launcher": self.builder.launcher.name, "fence": fence, "number": ""}
        write_json(directory / RECORD, record)
        script = self.builder.write(job, fence)
        queued, resources = self.builder.queued(job, fence), self.builder.resources(job)
        with _uninterrupted():
            try:
                number = self._queue.submit(queued, script, directory / OUTPUT, resources)
                write_json(directory / RECORD, {**record, "number": number})
            except QueueFailed as error:
                # The batch system may have it all the same: `ended` looks for it.
                self._doubtful[job.name] = str(error), None

    def adopt(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        jobs = [job for job in jobs if self._fence(job) is not None]
        seen = self._look(jobs)
        return [job for job in jobs if job.name in seen]

    def ended(self, jobs: Iterable[SweepJob]) -> list[SweepJob]:
        jobs = list(jobs)
        seen = self._look(jobs)
        ended = [job for job in jobs if job.name not in seen and not self._is_doubtful(job)]
        # While nothing changes in the queue, query it less and less often.
        self.rest = type(self).rest if ended or self._doubtful else min(self.longest_rest, 1.2 * self.rest)
        return ended

    def stuck(self, jobs: Iterable[SweepJob]) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for job in jobs:
            seen = self._seen.get(job.name)
            if seen is not None and (reason := lasting_reason(seen.reason)):
                found.setdefault(reason, []).append(seen.number)
        return {
            reason: f"Job {numbers[0].replace(';', ' on ')}{f' and {len(numbers) - 1} more' if len(numbers) > 1 else ''} can't "
            f"start: Slurm says {reason}. Change what it requests (scontrol update), or cancel it ({_scancel(numbers)})."
            for reason, numbers in found.items()
        }

    def leave(self) -> str:
        return "The jobs in the queue stay there and report their results."

    def _look(self, jobs: Iterable[SweepJob]) -> dict[str, QueuedJob]:
        """Ask the queue once, and return those jobs that wait or run, by name."""
        asked = {job.name: self._queued(job) for job in jobs}
        answer = self._queue.watch(list(asked.values())) if asked else {}
        alive = {name: [one for one in answer.get(queued.key, []) if one.alive] for name, queued in asked.items()}
        self._seen = {name: some[0] for name, some in alive.items() if some}
        for name in self._seen:
            self._doubtful.pop(name, None)
        return self._seen

    def _is_doubtful(self, job: SweepJob) -> bool:
        """Return whether a job that the queue does not have may still come. Raises SubmissionFailed if it does not."""
        if job.name not in self._doubtful:
            return False
        why, since = self._doubtful[job.name]
        now = time.monotonic()
        if since is None or now - since < self.gap:
            self._doubtful[job.name] = why, now if since is None else since
            return True
        del self._doubtful[job.name]
        if (self.builder.directory.job(job) / f"begun.{self._fence(job)}").is_dir():
            return False  # it ran, and has left the queue
        raise SubmissionFailed(why)

    def _fence(self, job: SweepJob) -> int | None:
        """Return the fence of the last submission of a job to this batch system; None if there is none."""
        stored = read_json(self.builder.directory.job(job) / RECORD) or {}
        fence = stored.get("fence") if stored.get("launcher") == self.builder.launcher.name else None
        return fence if isinstance(fence, int) else None

    def _queued(self, job: SweepJob) -> Job:
        stored = read_json(self.builder.directory.job(job) / RECORD) or {}
        return replace(self.builder.queued(job, self._fence(job) or 0), number=str(stored.get("number") or ""))


def _scancel(numbers: Iterable[str]) -> str:
    """Return the commands that cancel these jobs of Slurm: one for each cluster."""
    by_cluster: dict[str, list[str]] = {}
    for number in numbers:
        by_cluster.setdefault(cluster_of(number), []).append(number.partition(";")[0])
    return "; ".join(
        f"scancel {f'--clusters={cluster} ' if cluster else ''}{' '.join(own)}" for cluster, own in by_cluster.items()
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
