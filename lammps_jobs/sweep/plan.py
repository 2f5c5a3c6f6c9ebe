"""What one sweep is: its jobs, and a directory that outlives every crash."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tailrace.spool import write_whole

from lammps_jobs.sweep import space

__all__ = ["MODES", "Plan", "PlanError", "SweepDirectory", "SweepJob", "resumed"]

MODES = ("train", "predict")
ALWAYS = ("x", "y", "z", "processes")


class PlanError(Exception):
    """This sweep can't be started or gone on with as asked; the message says why and what to do."""


@dataclass(frozen=True)
class SweepJob:
    """One job: its name, what it is run with, and the seed of its velocities."""

    name: str
    point: Mapping[str, int]
    seed: int


@dataclass(frozen=True)
class Plan:
    """What decides the jobs of a sweep and how they are reported.

    Attributes
    ----------
    mode
        ``train``: their results are learned. ``predict``: models are asked first, and learn nothing.
    input
        As `find_input` knows it.
    values
        Parameter to the values that it takes.
    sample, iters, seed
        How many combinations of these are chosen, and how (see `space.sample`).
    stream
        Where the results are posted, or whose models are asked.
    identity
        Makes the idempotency keys of this sweep its own.
    """

    mode: str
    input: str
    values: Mapping[str, tuple[int, ...]]
    sample: str
    iters: int | None
    seed: int
    stream: str
    identity: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def jobs(self) -> list[SweepJob]:
        """All jobs, in order. Raises RangeError where there can't be so many."""
        points = space.sample(self.values, self.sample, self.iters, self.seed)
        digits = max(3, len(str(len(points))))
        return [
            SweepJob(f"{self.mode}-{number:0{digits}d}", point, self.seed + number)
            for number, point in enumerate(points, 1)
        ]

    def key(self, job: SweepJob) -> str:
        """The idempotency key of a job's result."""
        return f"sweep-{self.identity}-{job.name}"

    def features(self, job: SweepJob) -> dict[str, int]:
        """What its time is predicted from: sizes, processes, and steps where these vary."""
        return {
            name: value for name, value in job.point.items() if name in ALWAYS or len(self.values.get(name, ())) > 1
        }


class SweepDirectory:
    """Where a sweep keeps its plan, its inputs, the directory of each job and its report."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inputs = path / "inputs"
        self.spool = path / "spool"
        self.report = path / "report.json"
        self.picture = path / "predicted-vs-actual.png"
        self._plan = path / "sweep.json"

    def job(self, job: SweepJob) -> Path:
        return self.path / "jobs" / job.name

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other sweeps out. Raises PlanError if one is running."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlanError(f"a sweep is running in {self.path} already: wait for it, or stop it") from None
            yield

    def load(self) -> Plan | None:
        """The plan of the sweep that was begun here; None if there is none. Raises PlanError if it can't be read."""
        try:
            content: dict[str, Any] = json.loads(self._plan.read_bytes())
            content["values"] = {name: tuple(values) for name, values in content["values"].items()}
            return Plan(**content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PlanError(f"{self._plan} can't be read ({error}): choose another --directory") from None

    def save(self, plan: Plan) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self._plan, asdict(plan))


def resumed(begun: Plan, asked: Plan, directory: Path) -> Plan:
    """The plan that was begun in a directory, with as many jobs as are asked for now.

    Raises
    ------
    PlanError
        If the jobs would be others than those that were begun.
    """
    for name in ("mode", "input", "values", "sample", "seed", "stream"):
        was, now = getattr(begun, name), getattr(asked, name)
        if was != now:
            raise PlanError(
                f"the sweep in {directory} was begun with {_shown(name, was)}, not {_shown(name, now)}: give the same, "
                "or another --directory"
            )
    was, now = len(begun.jobs()), len(asked.jobs())
    if begun.sample == "lhs" and was != now:
        raise PlanError(
            f"the sweep in {directory} was begun with --iters {was}: a Latin hypercube of another number has other "
            "points; give the same, or another --directory"
        )
    if now < was:
        raise PlanError(f"the sweep in {directory} was begun with {was} jobs: it can't have fewer ({now})")
    return replace(begun, iters=asked.iters)


def _shown(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{parameter} in {list(values)}" for parameter, values in value.items())
    return f"{name} {value}"
