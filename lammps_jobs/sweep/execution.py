"""Runs the jobs of a sweep, several at a time. Each result counts once, whatever fails."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tailrace.atomic_files import read_json, write_json
from tailrace.launchers.queues import QueueFailed

from lammps_jobs.logs.log_reader import read_log
from lammps_jobs.runs.lammps_job import LOG, OUTPUT
from lammps_jobs.sweep.jobs import PREDICTION, RECEIPT, JobBuilder
from lammps_jobs.sweep.models import ModelInfo, Stream
from lammps_jobs.sweep.plan import SweepJob
from lammps_jobs.sweep.runners import Runner, SubmissionFailed

__all__ = ["Execution", "Outcome", "Watcher"]

PATIENCE = 60


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Attributes
    ----------
    loop_time
        Loop time, s; None if the job failed.
    failure
        Why the job has no usable time, or why the time couldn't be delivered; None for a successful job.
    predictions
        Model to its prediction from before the time was known.
    observation
        Number of the observation in the log; None if the result is not to be learned.
    fresh
        Whether this start of the sweep ran the job.
    """

    job: SweepJob
    loop_time: float | None = None
    failure: str | None = None
    predictions: Mapping[str, Any] = field(default_factory=dict)
    observation: int | None = None
    fresh: bool = True


class Watcher(Protocol):
    """Receiver of a sweep's progress."""

    def under_way(self, jobs: Sequence[SweepJob]) -> None: ...

    def settled(self, outcome: Outcome) -> None: ...

    def notice(self, line: str) -> None: ...


class Execution:
    """One start of a sweep.

    All state is on disk and in the server's log. A job with a complete log is not run again. A failed job is run again.
    A result that the server has not acknowledged is posted again, which changes nothing if the server has it.

    Parameters
    ----------
    models
        Models that predict each job before it runs; empty if results are learned.
    environment
        Environment of the commands that run on this machine.
    """

    def __init__(
        self,
        builder: JobBuilder,
        runner: Runner,
        stream: Stream,
        models: Sequence[ModelInfo],
        environment: Mapping[str, str],
        watcher: Watcher,
    ) -> None:
        self._builder = builder
        self._runner = runner
        self._stream = stream
        self._models = models
        self._environment = environment
        self._watcher = watcher

    def run(self, jobs: Sequence[SweepJob], at_once: int) -> list[Outcome]:
        """Run the jobs that have not been run, `at_once` at a time. Return the results of all jobs."""
        outcomes: dict[str, Outcome] = {}
        waiting: deque[SweepJob] = deque()
        active: list[SweepJob] = []
        told: set[str] = set()
        adopted = {job.name for job in self._runner.adopt([job for job in jobs if self._begun(job)])}
        for job in jobs:
            if job.name in adopted:
                active.append(job)
            elif (done := self._settle(job, fresh=False)).loop_time is not None:
                outcomes[job.name] = done
                self._watcher.settled(done)
            else:
                waiting.append(job)
        while waiting or active:
            while waiting and len(active) < at_once:
                active.append(job := waiting.popleft())
                self._start(job)
            self._watcher.under_way(active)
            for job in self._ended(active):
                active.remove(job)
                outcomes[job.name] = self._settle(job, fresh=True)
                self._watcher.settled(outcomes[job.name])
            for reason, line in self._runner.stuck(active).items():
                if reason not in told:
                    told.add(reason)
                    self._watcher.notice(line)
            if active:
                time.sleep(self._runner.rest)
        return [outcomes[job.name] for job in jobs]

    def _begun(self, job: SweepJob) -> bool:
        return self._directory(job).is_dir()

    def _start(self, job: SweepJob) -> None:
        if self._models:
            answers = self._stream.predict(self._models, self._builder.plan.features(job))
            self._directory(job).mkdir(parents=True, exist_ok=True)
            write_json(self._directory(job) / PREDICTION, answers)
        (self._directory(job) / RECEIPT).unlink(missing_ok=True)
        self._runner.start(job)

    def _ended(self, active: Sequence[SweepJob]) -> list[SweepJob]:
        try:
            return self._runner.ended(active)
        except SubmissionFailed:
            raise
        except QueueFailed as error:
            # The batch system's controller may be restarting. The jobs continue meanwhile.
            self._watcher.notice(f"{error}; trying again")
            return []

    def _settle(self, job: SweepJob, *, fresh: bool) -> Outcome:
        directory = self._directory(job)
        try:
            report = read_log(directory / LOG)
        except FileNotFoundError:
            return Outcome(job, failure=f"LAMMPS did not start: {_last_line(directory / OUTPUT)}")
        if not report.completed:
            return Outcome(job, failure=f"{report.failure} (see {directory})")
        if report.processes != job.point["processes"]:
            why = f"LAMMPS ran on {report.processes} processes, not on {job.point['processes']}: its launcher does not match "
            return Outcome(job, failure=why + "the MPI that it was built with (see --mpi)")
        if self._builder.plan.mode == "predict":
            return Outcome(job, report.loop_time, None, read_json(directory / PREDICTION) or {}, None, fresh)
        receipt = read_json(directory / RECEIPT) or self._post(job)
        if receipt is None:
            why = f"its result was not delivered: {_last_line(directory / OUTPUT, of_epilogue=True)}"
            return Outcome(job, report.loop_time, why, fresh=fresh)
        return Outcome(job, report.loop_time, None, receipt.get("models", {}), receipt.get("last"), fresh)

    def _post(self, job: SweepJob) -> Any:
        """Report a job whose own epilogue could not deliver its result. Return the server's answer, or None."""
        epilogue = self._builder.epilogue(job)
        assert epilogue is not None
        with open(self._directory(job) / OUTPUT, "ab") as output:
            subprocess.run(
                epilogue, cwd=self._directory(job), env=self._environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, check=False, timeout=PATIENCE,
            )  # fmt: skip
        return read_json(self._directory(job) / RECEIPT)

    def _directory(self, job: SweepJob) -> Path:
        return self._builder.directory.job(job)


def _last_line(path: Path, *, of_epilogue: bool = False) -> str:
    """Return the last line of a job's output: of its epilogue if `of_epilogue`, otherwise of the other programs."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    lines = [line.strip() for line in lines if line.strip() and line.startswith("tailrace: ") is of_epilogue]
    return lines[-1] if lines else f"no reason is given in {path}"
