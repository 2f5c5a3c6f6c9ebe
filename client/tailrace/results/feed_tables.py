"""Tables and panels of feeds, and of predictions of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.display.tables import Column, Table
from tailrace.results.facts import Facts

__all__ = ["fed_run_table", "feed_facts", "feed_table", "prediction_table"]


def _params(data: Mapping[str, Any]) -> str:
    return ", ".join(name if kind == "number" else f"{name} ({kind})" for name, kind in data["params"].items())


def feed_table(feeds: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of feeds."""
    columns = [
        Column("stream", left=True), Column("target", left=True), Column("params", left=True), Column("posted"), Column("due"),
        Column("left out"), Column("trouble", left=True),
    ]  # fmt: skip
    rows = [
        [one["stream"], one["target"], _params(one), *(one["runs"][state] for state in ("posted", "due", "left_out")), one["trouble"]]
        for one in feeds
    ]  # fmt: skip
    return Table(columns, rows, caption)


def feed_facts(data: Mapping[str, Any], experiment: str) -> Facts:
    """Returns a feed as a panel."""
    lines: list[tuple[str, Any]] = [("params", _params(data)), ("target", data["target"])]
    lines += [(name.replace("_", " "), count) for name, count in data["runs"].items()]
    lines += [("models", ", ".join(data["models"]) or "none"), ("created by", data["created_by"])]
    lines.append(("trouble", data["trouble"]))
    return Facts(f"feed of {experiment} to {data['stream']}", data, [line for line in lines if line[1] != ""])


def fed_run_table(runs: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of the runs of a feed."""
    columns = [Column(name, left=name != "observation") for name in ("run", "name", "state", "observation", "reason")]
    rows = [
        [one["run"], one["name"], one["state"].replace("_", " "), one["seq"], one["reason"] or None] for one in runs
    ]
    return Table(columns, rows, caption)


def prediction_table(feeds: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of what models predict for a run."""
    columns = [
        Column("target", left=True), Column("model", left=True), Column("prediction"), Column("from"), Column("to"), Column("unit", left=True),
        Column("note", left=True),
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for feed in feeds:
        if feed["error"] or not feed["models"]:
            note = feed["error"] or f"stream {feed['stream']} has no model: create one"
            rows.append([feed["target"], None, None, None, None, feed["unit"], note])
        for one in feed["models"]:
            low, high = one["interval"] or (None, None)
            note = one["error"] or "; ".join(one["warnings"]) or None
            rows.append([feed["target"], one["model"], one["prediction"], low, high, feed["unit"], note])
    return Table(columns, rows, caption)
