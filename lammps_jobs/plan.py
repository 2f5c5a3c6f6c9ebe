"""What one demo is to do, and what of it has been done: a directory that outlives every crash."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tailrace.spool import write_whole

from lammps_jobs.run import Job

__all__ = ["RECIPES", "DemoDirectory", "Plan", "PlanError"]

STREAM = "lammps-runtime"
RECIPES = ("linear", "bayesian", "passive-aggressive", "runtime")
REPEATS = range(3, 10)
STEPS = 60


class PlanError(Exception):
    """This demo can't be started or gone on with as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """Which jobs to run and under which names to report them.

    Attributes
    ----------
    seed
        Decides every job.
    jobs, heldout
        How many are learned from, and how many are predicted and not learned.
    cores
        Most processes of a job.
    run
        1, or more where the names without a number were taken: `stream` and `models` end in it.
    identity
        Makes the idempotency keys of this demo its own.
    """

    seed: int
    jobs: int
    heldout: int
    cores: int
    run: int = 1
    identity: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def stream(self) -> str:
        return STREAM + self._suffix

    @property
    def models(self) -> dict[str, str]:
        """Recipe to the name of the model made from it."""
        return {recipe: recipe + self._suffix for recipe in RECIPES}

    @property
    def _suffix(self) -> str:
        return "" if self.run == 1 else f"-{self.run}"

    def key(self, job: Job) -> str:
        """The idempotency key of a job's result."""
        return f"demo-{self.identity}-{job.name}"

    def training(self) -> list[Job]:
        """The jobs to learn from, in order. More of them begin with the same ones."""
        return [self._job(f"train-{n:03d}", n, choice) for n, choice in enumerate(self._choices()[: self.jobs], 1)]

    def held_out(self) -> list[Job]:
        """The jobs to predict only: none has the features of one to learn from."""
        choices = self._choices()[: -self.heldout - 1 : -1]
        return [self._job(f"heldout-{n:03d}", 1_000_000 + n, choice) for n, choice in enumerate(choices, 1)]

    def check(self) -> None:
        """Raise PlanError if so many different jobs can't be had."""
        most = len(REPEATS) ** 3 * self.cores
        if self.jobs + self.heldout > most:
            raise PlanError(
                f"{self.jobs} jobs and {self.heldout} held out are more than the {most} different ones that there are"
            )

    def _choices(self) -> list[tuple[int, int, int, int]]:
        choices = list(itertools.product(REPEATS, REPEATS, REPEATS, range(1, self.cores + 1)))
        random.Random(self.seed).shuffle(choices)
        return choices

    def _job(self, name: str, number: int, choice: tuple[int, int, int, int]) -> Job:
        x, y, z, processes = choice
        return Job(name, x, y, z, processes, STEPS, seed=self.seed + number)


class DemoDirectory:
    """Where a demo keeps its plan, the directory of each job, its pictures and the server's output."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._plan = path / "plan.json"
        self.spool = path / "spool"
        self.tokens = path / "tokens.json"
        self.server_log = path / "server.log"
        self.drift = path / "drift.png"
        self.scatter = path / "predicted-vs-actual.png"

    def job(self, job: Job) -> Path:
        return self.path / "jobs" / job.name

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other demos out. Raises PlanError if one is running."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.parent / "demo.lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlanError("a demo is running already: wait until it ends, or stop it with Ctrl-C") from None
            yield

    def load(self) -> Plan | None:
        """The plan of the demo that was begun here; None if there is none. Raises PlanError if it can't be read."""
        try:
            return Plan(**json.loads(self._plan.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise PlanError(f"{self._plan} can't be read ({error}): start over with --fresh") from None

    def save(self, plan: Plan) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self._plan, asdict(plan))

    def set_aside(self) -> Path | None:
        """Move what is here out of the way, and say where to; None if nothing was here."""
        if not self.path.exists():
            return None
        target = next(
            path for n in itertools.count(1) if not (path := self.path.with_name(f"{self.path.name}-old-{n}")).exists()
        )
        os.rename(self.path, target)
        return target


def resumed(plan: Plan, jobs: int | None, heldout: int | None, seed: int | None) -> Plan:
    """`plan` with what this start asks for: never fewer jobs than were planned before.

    Raises
    ------
    PlanError
        If another seed is asked for: its jobs would be others.
    """
    if seed is not None and seed != plan.seed:
        raise PlanError(
            f"the demo here was begun with --seed {plan.seed}: leave --seed out to go on with it, "
            f"or start over with --fresh --seed {seed}"
        )
    return replace(plan, jobs=max(plan.jobs, jobs or 0), heldout=max(plan.heldout, heldout or 0))


def read_json(path: Path) -> Any:
    """What a file that `write_whole` wrote holds; None if it isn't there."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
