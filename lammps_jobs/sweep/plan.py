"""The plan of a sweep: its jobs, and its directory, from which it can be resumed after a crash."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tailrace.atomic_files import write_json

from lammps_jobs.sweep import parameter_space

__all__ = ["MODES", "Plan", "PlanError", "SweepDirectory", "SweepJob", "resumed"]

MODES = ("train", "predict")
ALWAYS = ("x", "y", "z", "processes")


class PlanError(Exception):
    """The sweep can't be started or resumed as requested. The message says why and what to do."""


@dataclass(frozen=True)
class SweepJob:
    """One job: its name, its parameters, and the seed of its velocities."""

    name: str
    point: Mapping[str, int]
    seed: int


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep, and where they are reported.

    Attributes
    ----------
    mode
        ``train``: models learn the results. ``predict``: models predict each job first, and learn nothing.
    input
        Name or path of the input, see `find_input`.
    values
        Parameter to its values.
    sample, iters, seed
        How combinations of the values are chosen, how many, and the seed (see `parameter_space.sample`).
    stream
        Stream that the results are posted to, or whose models predict.
    identity
        Part of the idempotency keys that is unique to this sweep.
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
        """Return all jobs in order. Raises RangeError if there are not enough combinations."""
        points = parameter_space.sample(self.values, self.sample, self.iters, self.seed)
        digits = max(3, len(str(len(points))))
        return [
            SweepJob(f"{self.mode}-{number:0{digits}d}", point, self.seed + number)
            for number, point in enumerate(points, 1)
        ]

    def key(self, job: SweepJob) -> str:
        """Return the idempotency key of a job's result."""
        return f"sweep-{self.identity}-{job.name}"

    def features(self, job: SweepJob) -> dict[str, int]:
        """Return the features of a job: sizes, processes, and steps if they vary."""
        return {
            name: value for name, value in job.point.items() if name in ALWAYS or len(self.values.get(name, ())) > 1
        }


class SweepDirectory:
    """The directory of a sweep, with its plan, its inputs, a directory for each job, and its report."""

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
        """Lock the directory. Raises PlanError if a sweep is running in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlanError(f"a sweep is running in {self.path} already: wait for it, or stop it") from None
            yield

    def load(self) -> Plan | None:
        """Return the plan of the sweep that was started here; None if there is none.

        Raises PlanError if it can't be read.
        """
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
        write_json(self._plan, asdict(plan))


def resumed(begun: Plan, asked: Plan, directory: Path) -> Plan:
    """Return the plan of a sweep that was started in a directory, with the number of jobs that is requested now.

    Raises
    ------
    PlanError
        If the jobs of the two plans differ.
    """
    for name in ("mode", "input", "values", "sample", "seed", "stream"):
        was, now = getattr(begun, name), getattr(asked, name)
        if was != now:
            raise PlanError(
                f"the sweep in {directory} was started with {_shown(name, was)}, not {_shown(name, now)}: give the same, "
                "or another --directory"
            )
    was, now = len(begun.jobs()), len(asked.jobs())
    if begun.sample == "lhs" and was != now:
        raise PlanError(
            f"the sweep in {directory} was started with --iters {was}: a Latin hypercube with another number has other "
            "points; give the same, or another --directory"
        )
    if now < was:
        raise PlanError(f"the sweep in {directory} was started with {was} jobs: it can't have fewer ({now})")
    return replace(begun, iters=asked.iters)


def _shown(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{parameter} in {list(values)}" for parameter, values in value.items())
    return f"{name} {value}"
