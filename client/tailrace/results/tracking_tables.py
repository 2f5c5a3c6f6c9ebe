"""Tables, panels and frames of experiments and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tailrace.display.tables import Column, Table
from tailrace.optional_dependencies import require
from tailrace.results.facts import Facts, Listing

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["History", "RunListing", "artifact_table", "experiment_facts", "experiment_table", "run_facts"]

PARTS = ("params", "metrics", "tags")
SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""How JSON carries values that are not finite."""

TIMES = ("started_ms", "ended_ms", "deleted_ms", "heard_ms")
SHOWN_COLUMNS = 8
"""Most params, metrics and tags that a table of runs shows; a frame has all."""


def number(value: Any) -> float:
    """Returns the value of a metric as a float, which may be NaN or infinite."""
    return SPECIAL[value] if isinstance(value, str) else float(value)


def moment(time_ms: int | None) -> str | None:
    """Returns a time as a text, in UTC."""
    if time_ms is None:
        return None
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, timezone.utc):%Y-%m-%d %H:%M:%S}"  # noqa: UP017  # Python 3.9
    except (OverflowError, ValueError, OSError):  # of a training with a clock of its own
        return f"{time_ms} ms"


def experiment_table(experiments: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of experiments."""
    columns = [
        Column("number"), Column("experiment", left=True), Column("runs"), Column("running"),
        Column("last run (UTC)", left=True), Column("created by", left=True),
    ]  # fmt: skip
    rows = [
        [one["id"], one["name"], one["runs"], one["running"], moment(one["last_started_ms"]), one["created_by"]]
        for one in experiments
    ]
    return Table(columns, rows, caption)


def experiment_facts(data: Mapping[str, Any]) -> Facts:
    """Returns an experiment as a panel."""
    lines = [("number", data["id"]), ("runs", data["runs"]), ("running", data["running"])]
    lines += [(name, data[name]) for name in ("description", "tags", "lifecycle", "created_by") if data[name]]
    return Facts(f"experiment {data['name']}", data, lines)


def run_facts(data: Mapping[str, Any]) -> Facts:
    """Returns a run as a panel, with the latest value of each metric."""
    lines: list[tuple[str, Any]] = [
        ("name", data["name"]), ("experiment", data["experiment"]), ("status", data["status"]),
        ("started (UTC)", moment(data["started_ms"])), ("ended (UTC)", moment(data["ended_ms"])),
        ("parent", data["parent"]), ("children", len(data["children"])), ("artifacts", data["artifacts"]),
    ]  # fmt: skip
    lines += [(f"param {key}", value) for key, value in data["params"].items()]
    lines += [(f"metric {key}", number(point["value"])) for key, point in data["metrics"].items()]
    lines += [(f"tag {key}", value) for key, value in data["tags"].items()]
    lines += [
        (f"linked {link['to']}", link["name"] if link["at"] is None else f"{link['name']} as of {link['at']}")
        for link in data["links"]
    ]
    return Facts(f"run {data['uid']}", data, [line for line in lines if line[1] not in ("", None, 0)])


def artifact_table(artifacts: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of artifacts and folders."""
    columns = [Column("path", left=True), Column("bytes"), Column("state", left=True)]
    rows = [
        [f"{one['path']}/", None, "folder"]
        if one["is_folder"]
        else [one["path"], one["size"], "stored" if one["stored"] else "not here yet"]
        for one in artifacts
    ]
    return Table(columns, rows, caption)


class RunListing(Listing):
    """Runs, shown as a table. `to_frame` returns all columns as a pandas DataFrame."""

    def __init__(self, data: Sequence[Mapping[str, Any]], caption: str) -> None:
        names = list(dict.fromkeys(f"{part}.{key}" for one in data for part in PARTS for key in one[part]))
        super().__init__(data, _run_table(data, names[:SHOWN_COLUMNS], caption))
        self._names = names

    def to_frame(self) -> DataFrame:
        """Returns a frame with a row for each run, indexed by ``uid``.

        Its columns are what a run is, with times in UTC, and ``params.KEY``, ``metrics.KEY`` (floats) and ``tags.KEY``.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        pandas = require("pandas")
        own = [name for name in (self.data[0] if self.data else ()) if name not in (*PARTS, "uid")]
        columns: dict[str, Any] = {name: [one[name] for one in self.data] for name in own}
        for name in TIMES:
            if name in columns:
                times = pandas.to_datetime(columns.pop(name), unit="ms", utc=True, errors="coerce")
                columns[name.removesuffix("_ms")] = times
        for name in self._names:
            part, _, key = name.partition(".")
            columns[name] = [_cell(one, part, key) for one in self.data]
        return pandas.DataFrame(columns, index=pandas.Index([one["uid"] for one in self.data], name="uid"))


def _cell(run: Mapping[str, Any], part: str, key: str) -> Any:
    value = run[part].get(key)
    return (float("nan") if value is None else number(value)) if part == "metrics" else value


def _run_table(runs: Sequence[Mapping[str, Any]], names: Sequence[str], caption: str) -> Table:
    columns = [Column(name, left=True) for name in ("run", "name", "experiment", "status", "started (UTC)")]
    columns += [Column(name, left=not name.startswith("metrics.")) for name in names]
    rows = []
    for one in runs:
        own = [one["uid"], one["name"], one["experiment"], one["status"], moment(one["started_ms"])]
        cells = [_cell(one, *name.split(".", 1)) for name in names]
        rows.append([*own, *cells])
    return Table(columns, rows, caption)


class History(Listing):
    """Points of a metric by step, shown as a table. `to_frame` returns them as a pandas DataFrame."""

    def __init__(self, data: Sequence[Mapping[str, Any]], key: str, caption: str) -> None:
        columns = [Column("step"), Column("time (UTC)", left=True), Column(key)]
        rows = [[one["step"], moment(one["time_ms"]), number(one["value"])] for one in data]
        super().__init__(data, Table(columns, rows, caption))
        self.key = key

    def to_frame(self) -> DataFrame:
        """Returns a frame with a row for each point, indexed by ``step``: ``time`` (UTC) and ``value``.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        pandas = require("pandas")
        times = pandas.to_datetime([one["time_ms"] for one in self.data], unit="ms", utc=True, errors="coerce")
        values = [number(one["value"]) for one in self.data]
        index = pandas.Index([one["step"] for one in self.data], name="step", dtype="int64")
        return pandas.DataFrame({"time": times, "value": values}, index=index)
