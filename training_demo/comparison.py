"""Compares what two back ends have of one run, point by point, and draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.handles.client import Client
from tailrace.tracking.backends import Backend
from tailrace.tracking.senders.mlflow_requests import MLflowRequests
from tailrace.tracking.senders.mlflow_runs import RUN_TAG

from training_demo.train import EXPERIMENT

__all__ = ["Comparison", "Point", "compare", "draw", "logged_points", "mlflow_points", "tailrace_points"]

Point = tuple[int, int, float]
"""Step, time in Unix milliseconds, value."""

PAGE = 10_000


@dataclass(frozen=True)
class Comparison:
    """One metric in both back ends.

    Attributes
    ----------
    key
        The metric.
    tailrace, mlflow
        Its points, sorted.
    """

    key: str
    tailrace: tuple[Point, ...]
    mlflow: tuple[Point, ...]

    @property
    def equal(self) -> bool:
        return self.tailrace == self.mlflow


def tailrace_points(client: Client, uid: str) -> dict[str, tuple[Point, ...]]:
    """Return all points of a run in Tailrace, by metric."""
    found = {}
    for key in client.send("GET", client.path("runs", uid))["metrics"]:
        points: list[Point] = []
        after: dict[str, Any] = {}
        while True:
            page = client.send("GET", client.path("runs", uid, "history"), query={"key": key, "limit": PAGE, **after})
            points += [(one["step"], one["time_ms"], float(one["value"])) for one in page["points"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        found[key] = tuple(sorted(points))
    return found


def mlflow_points(url: str, uid: str) -> dict[str, tuple[Point, ...]]:
    """Return all points of a run in MLflow, by metric."""
    requests = MLflowRequests(Backend("mlflow", url))
    experiment = requests.get("experiments/get-by-name", experiment_name=EXPERIMENT)["experiment"]["experiment_id"]
    runs = requests.post("runs/search", {"experiment_ids": [experiment], "filter": f"tags.`{RUN_TAG}` = '{uid}'"})[
        "runs"
    ]
    if len(runs) != 1:
        raise ValueError(f"MLflow has {len(runs)} runs of {uid}: expected one")
    run = runs[0]
    found = {}
    for one in run["data"].get("metrics", ()):
        points = requests.history(run["info"]["run_id"], one["key"])
        found[one["key"]] = tuple(
            sorted((int(point.get("step", 0)), int(point["timestamp"]), float(point["value"])) for point in points)
        )
    return found


def logged_points(path: Path) -> list[tuple[int, float]]:
    """Return step and loss of each call, as the training wrote them to a file of its own."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(int(row[0]), float(row[1])) for row in rows if len(row) == 2]


def compare(first: Mapping[str, tuple[Point, ...]], second: Mapping[str, tuple[Point, ...]]) -> list[Comparison]:
    """Return a comparison for each metric that one of them has."""
    return [Comparison(key, first.get(key, ()), second.get(key, ())) for key in sorted({*first, *second})]


def draw(path: Path, rows: Sequence[Comparison], killed_at: int, resumed_at: int, name: Callable[[str], str]) -> None:
    """Draw the loss and the error of the solution from both back ends into a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    by_key = {row.key: row for row in rows}
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, key in zip(axes, ("loss", "l2_error"), strict=True):
        row = by_key[key]
        for points, label, style in (
            (row.tailrace, "Tailrace", {"linewidth": 4, "color": "#9ecae1"}),
            (row.mlflow, "MLflow", {"linewidth": 1, "color": "#08306b", "linestyle": "--"}),
        ):
            axis.plot(
                [one[0] for one in points],
                [one[2] for one in points],
                label=f"{label}: {len(points):,} points",
                **style,
            )
        axis.axvline(killed_at, color="#cb181d", linewidth=1, label=f"kill -9 after step {killed_at:,}")
        axis.axvline(resumed_at, color="#238b45", linewidth=1, linestyle=":", label=f"resumed at step {resumed_at:,}")
        axis.set_yscale("log")
        axis.set_xlabel("step")
        axis.set_ylabel(name(key))
        axis.legend(frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
