"""Tables and panels of services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.display.tables import Column, Table
from tailrace.results.facts import Facts

__all__ = ["service_facts", "service_table"]


def _state(data: Mapping[str, Any]) -> str:
    shown = data["state"] + (f": {data['reason']}" if data["reason"] else "")
    return shown if data["contact"] == "ok" else f"{shown} (agent: {data['contact']})"


def service_facts(data: Mapping[str, Any]) -> Facts:
    """Returns a service as a panel."""
    limits = data["limits"]
    lines: list[tuple[str, Any]] = [
        ("cluster", data["cluster"]),
        ("image", data["image"]),
        *([("version of", f"{data['registered_model']} {data['model_version']}")] if data["registered_model"] else []),
        ("wanted", data["wanted"]),
        ("state", _state(data)),
        ("restarts", data["restarts"]),
        ("limits", f"{limits['memory_mb']} MB, {limits['cpus']:g} CPUs, {limits['pids']} processes"),
    ]
    return Facts(f"service {data['name']}", data, lines)


def service_table(found: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Returns a table of services."""
    rows = [(one["name"], one["cluster"], one["wanted"], _state(one), one["restarts"]) for one in found]
    return Table(
        [Column(name, left=name != "restarts") for name in ("service", "cluster", "wanted", "state", "restarts")],
        rows,
        title,
    )
