"""What the demo asks the server for: clusters, a stream with models, and three calculations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tailrace.errors import NotFound
from tailrace.handles.calculation import Calculation
from tailrace.handles.client import Client
from tailrace.programs import WALLTIME_STREAM

from lammps_jobs.demo_support.clusters import DemoFailed

__all__ = [
    "LOOP_TIMES",
    "MODEL",
    "Submitted",
    "follow",
    "make_stream",
    "metrics_of",
    "submit",
]

MODEL = "calculations-walltime"
"""Model of wall times: the recipe `runtime`, in which texts such as the program's name are labels."""
LOOP_TIMES = "lammps-loop-time"
WORK_LIMIT, LEARNED_LIMIT = 900.0, 60.0
ENDED = ("done", "unconverged", "failed", "cancelled", "undecided")
TORSIONS = [0, 30, 60, 90, 120, 150, 180]
SIZES = [1, 2, 3, 4, 5, 6]
# H2O2: the smallest molecule with a torsion.
PEROXIDE = """4
Properties=species:S:1:pos:R:3 pbc="F F F"
O 0.0 0.0 0.0
O 1.45 0.0 0.0
H -0.25 0.93 0.0
H 1.70 0.5 0.78
"""


@dataclass(frozen=True)
class Submitted:
    """The calculations of the demo: a torsion scan, one that does not converge, and melts of several sizes."""

    scan: Calculation
    stuck: Calculation
    melts: Calculation

    def all(self) -> list[Calculation]:
        return [self.scan, self.stuck, self.melts]


def make_stream(owner: Client) -> None:
    """Make the streams of wall times and of loop times, and the model of wall times, unless they are there."""
    for name, target in ((WALLTIME_STREAM, "wall_time"), (LOOP_TIMES, "loop_time")):
        body = {"name": name, "target": {"name": target, "unit": "s"}}
        _make(owner, "streams", name, body)
    _make(owner, "models", MODEL, {"name": MODEL, "stream": WALLTIME_STREAM, "recipe": "runtime"})


def submit(owner: Client, cluster: str, melts_at: str, steps: int) -> Submitted:
    """Submit the three calculations.

    Parameters
    ----------
    cluster, melts_at
        Cluster of the calculations by tblite, and of those by LAMMPS.
    steps
        Most steps of the scan, and of the melts.
    """
    scan = owner.calculate(
        "tblite", PEROXIDE, name="Torsion of hydrogen peroxide", parameters={"torsion_atoms": [3, 1, 2, 4]},
        scan={"torsion": TORSIONS[:steps]}, analyses=["energy-profile"], cluster=cluster, again=True,
    )  # fmt: skip
    chain: list[dict[str, Any]] = [
        {"name": "two-iterations", "parameters": {"iterations": 2, "corrections": 0}},
        {"name": "after-it", "parents": ["two-iterations"]},
    ]
    stuck = owner.calculate("tblite", PEROXIDE, name="Does not converge", steps=chain, cluster=cluster, again=True)
    melts = owner.calculate(
        "lammps", name="Melts of several sizes", parameters={"y": 2, "z": 2, "steps": 100}, scan={"x": SIZES[:steps]}, chained=False,
        cluster=melts_at, again=True,
    )  # fmt: skip
    return Submitted(scan, stuck, melts)


def follow(submitted: Submitted, show: Callable[[str, str, str, str], None], check: Callable[[], None]) -> None:
    """Wait until all calculations have ended.

    Parameters
    ----------
    show
        Called with calculation, step, state and reason whenever the state of a step has changed to an end.
    check
        Called between requests. It raises an error if the demo can't go on.

    Raises
    ------
    DemoFailed
        If they do not end in time.
    """
    ends, shown = time.monotonic() + WORK_LIMIT, set()
    waiting = submitted.all()
    while waiting:
        check()
        for calculation in list(waiting):
            data = calculation.info()
            for step in data["chain"]:
                key = (calculation.id, step["name"])
                if step["state"] in (*ENDED, "blocked") and key not in shown:
                    shown.add(key)
                    show(data["name"], step["name"], step["state"], step["reason"])
            if data["state"] in ENDED:
                waiting.remove(calculation)
        if time.monotonic() > ends:
            names = ", ".join(str(one.id) for one in waiting)
            raise DemoFailed(f"the calculations {names} have not ended after {WORK_LIMIT:.0f} s")
        time.sleep(0.5)


def metrics_of(owner: Client, least: int) -> Any:
    """Return the model's metrics, after it has learned at least `least` steps, or after a minute."""
    ends = time.monotonic() + LEARNED_LIMIT
    while True:
        metrics = owner.send("GET", owner.path("models", MODEL, "metrics"))
        if metrics["learned"] >= least or time.monotonic() > ends:
            return metrics
        time.sleep(0.5)


def _make(owner: Client, kind: str, name: str, body: dict[str, Any]) -> None:
    try:
        owner.send("GET", owner.path(kind, name))
    except NotFound:
        owner.send("POST", owner.path(kind), body)
