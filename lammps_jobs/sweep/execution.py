"""Running the jobs of a sweep, a few at a time, so that each counts once, whatever fails between."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tailrace.spool import write_whole

from lammps_jobs.log import read_log
from lammps_jobs.plan import read_json
from lammps_jobs.run import LOG, OUTPUT
from lammps_jobs.sweep.jobs import PREDICTION, RECEIPT, Recipe
from lammps_jobs.sweep.models import ModelInfo, Stream
from lammps_jobs.sweep.plan import SweepJob
from lammps_jobs.sweep.queues import QueueFailed
from lammps_jobs.sweep.running import Runner

__all__ = ["Execution", "Outcome", "Watcher"]

PATIENCE = 60


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    loop_time
        Seconds; None if it failed.
    failure
        Why it has no time to learn from, or why that couldn't be delivered; None for a job that counts.
    predictions
        Model to its answer before the time was known.
    observation
        Its number in the log; None where it was not to be learned.
    fresh
        Whether it ran just now.
    """

    job: SweepJob
    loop_time: float | None = None
    failure: str | None = None
    predictions: Mapping[str, Any] = field(default_factory=dict)
    observation: int | None = None
    fresh: bool = True


class Watcher(Protocol):
    """Somebody who is told how a sweep goes on."""

    def under_way(self, jobs: Sequence[SweepJob]) -> None: ...

    def settled(self, outcome: Outcome) -> None: ...

    def notice(self, line: str) -> None: ...


class Execution:
    """One start of a sweep.

    All state is on disk and in the server's log. A job whose log is complete is not run again; one that failed is; one
    whose result the server has not acknowledged is posted again, which changes nothing if it was there.

    Parameters
    ----------
    models
        Those to ask before a job is run; empty where results are learned.
    environment
        Of the commands that are run here.
    """

    def __init__(
        self,
        recipe: Recipe,
        runner: Runner,
        stream: Stream,
        models: Sequence[ModelInfo],
        environment: Mapping[str, str],
        watcher: Watcher,
    ) -> None:
        self._recipe = recipe
        self._runner = runner
        self._stream = stream
        self._models = models
        self._environment = environment
        self._watcher = watcher

    def run(self, jobs: Sequence[SweepJob], at_once: int) -> list[Outcome]:
        """Run those that have not been run, `at_once` at a time, and say of each what became of it."""
        outcomes: dict[str, Outcome] = {}
        waiting: deque[SweepJob] = deque()
        active: list[SweepJob] = []
        told: set[str] = set()
        for job in jobs:
            if self._begun(job) and self._runner.adopt(job):
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
            answers = self._stream.predict(self._models, self._recipe.plan.features(job))
            self._directory(job).mkdir(parents=True, exist_ok=True)
            write_whole(self._directory(job) / PREDICTION, answers)
        (self._directory(job) / RECEIPT).unlink(missing_ok=True)
        self._runner.start(job)

    def _ended(self, active: Sequence[SweepJob]) -> list[SweepJob]:
        try:
            return self._runner.ended(active)
        except QueueFailed as error:
            # A controller that restarts is no end of a sweep: its jobs go on.
            self._watcher.notice(f"{error}; asking again")
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
            why = (
                f"LAMMPS ran on {report.processes} processes, not on {job.point['processes']}: what started it and the "
            )
            return Outcome(job, failure=why + "MPI that it was built with don't go together (see --mpi)")
        if self._recipe.plan.mode == "predict":
            return Outcome(job, report.loop_time, None, read_json(directory / PREDICTION) or {}, None, fresh)
        receipt = read_json(directory / RECEIPT) or self._post(job)
        if receipt is None:
            why = f"its result was not delivered: {_last_line(directory / OUTPUT, of_epilogue=True)}"
            return Outcome(job, report.loop_time, why, fresh=fresh)
        return Outcome(job, report.loop_time, None, receipt.get("models", {}), receipt.get("last"), fresh)

    def _post(self, job: SweepJob) -> Any:
        """Report a job whose own epilogue did not get through; the server's answer, or None."""
        epilogue = self._recipe.epilogue(job)
        assert epilogue is not None
        with open(self._directory(job) / OUTPUT, "ab") as output:
            subprocess.run(
                epilogue, cwd=self._directory(job), env=self._environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, check=False, timeout=PATIENCE,
            )  # fmt: skip
        return read_json(self._directory(job) / RECEIPT)

    def _directory(self, job: SweepJob) -> Path:
        return self._recipe.directory.job(job)


def _last_line(path: Path, *, of_epilogue: bool = False) -> str:
    """The last line of a job's output that the epilogue said, or that it did not."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    lines = [line.strip() for line in lines if line.strip() and line.startswith("tailrace: ") is of_epilogue]
    return lines[-1] if lines else f"{path} does not say why"
