"""The plan of the demo: which jobs to run, and the names of the stream and the models."""

from __future__ import annotations

import itertools
import random
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from lammps_jobs.demo_support.directory import DemoDirectory
from lammps_jobs.demo_support.names import NumberedNames, PlanError
from lammps_jobs.runs.lammps_job import Job

__all__ = ["RECIPES", "Directory", "Plan", "resumed"]

RECIPES = ("linear", "bayesian", "passive-aggressive", "runtime")
REPEATS = range(3, 10)
STEPS = 60


@dataclass(frozen=True)
class Plan(NumberedNames):
    """Which jobs to run, and the names of the stream and the models.

    Attributes
    ----------
    seed
        Seed of all jobs.
    jobs, heldout
        Number of jobs to learn from, and number of jobs that are predicted but not learned.
    cores
        Most processes of a job.
    run
        Number at the end of the names of `stream` and `models`. 1: no number. It is higher if these names are taken.
    identity
        Part of the idempotency keys that is unique to this demo.
    """

    STREAM: ClassVar[str] = "lammps-runtime"
    RECIPES: ClassVar[tuple[str, ...]] = RECIPES

    seed: int
    jobs: int
    heldout: int
    cores: int
    run: int = 1
    identity: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def key(self, job: Job) -> str:
        """Return the idempotency key of a job's result."""
        return f"demo-{self.identity}-{job.name}"

    def training(self) -> list[Job]:
        """Return the jobs to learn from, in order. A plan with more jobs begins with the same ones."""
        return [self._job(f"train-{n:03d}", n, choice) for n, choice in enumerate(self._choices()[: self.jobs], 1)]

    def held_out(self) -> list[Job]:
        """Return the jobs that are predicted but not learned.

        Their features differ from those of all jobs to learn from.
        """
        choices = self._choices()[: -self.heldout - 1 : -1]
        return [self._job(f"heldout-{n:03d}", 1_000_000 + n, choice) for n, choice in enumerate(choices, 1)]

    def check(self) -> None:
        """Raise PlanError if there are not enough different jobs."""
        most = len(REPEATS) ** 3 * self.cores
        if self.jobs + self.heldout > most:
            raise PlanError(
                f"{self.jobs} jobs and {self.heldout} held-out jobs are too many: there are {most} different ones"
            )

    def _choices(self) -> list[tuple[int, int, int, int]]:
        choices = list(itertools.product(REPEATS, REPEATS, REPEATS, range(1, self.cores + 1)))
        random.Random(self.seed).shuffle(choices)
        return choices

    def _job(self, name: str, number: int, choice: tuple[int, int, int, int]) -> Job:
        x, y, z, processes = choice
        return Job(name, x, y, z, processes, STEPS, seed=self.seed + number)


class Directory(DemoDirectory[Plan]):
    """The working directory of the demo: the directory of each job, and the pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Plan)
        self.drift = path / "drift.png"
        self.scatter = path / "predicted-vs-actual.png"

    def job(self, job: Job) -> Path:
        return self.path / "jobs" / job.name


def resumed(plan: Plan, jobs: int | None, heldout: int | None, seed: int | None) -> Plan:
    """Return `plan` with the requested numbers of jobs, but never fewer jobs than planned before.

    Raises
    ------
    PlanError
        If another seed is requested, because the jobs would differ.
    """
    if seed is not None and seed != plan.seed:
        raise PlanError(
            f"the demo was started with --seed {plan.seed}: leave --seed out to resume it, "
            f"or start over with --fresh --seed {seed}"
        )
    return replace(plan, jobs=max(plan.jobs, jobs or 0), heldout=max(plan.heldout, heldout or 0))
