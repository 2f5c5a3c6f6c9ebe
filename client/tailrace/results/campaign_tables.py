"""Tables and panels of campaigns: decisions, rounds, runs, evaluations and compositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.display.tables import Column, Table, format_value
from tailrace.results.facts import Facts

__all__ = [
    "campaign_facts",
    "campaign_table",
    "composition_table",
    "decision_facts",
    "decision_table",
    "evaluation_facts",
    "evaluation_table",
    "history_table",
    "run_table",
]

NUMBERS = (
    "round",
    "run",
    "calculations",
    "node-hours",
    "failed",
    "families",
    "cells",
    "labeled",
    "evaluation",
    "rounds",
)


def campaign_facts(data: Mapping[str, Any]) -> Facts:
    """Returns a campaign as a panel: its state, what was spent, and a line for each bond type."""
    lines: list[tuple[str, Any]] = [
        ("stream", data["stream"]),
        ("models", data["models"]),
        ("compositions", data["compositions"]),
        ("state", data["state"] + (f": {data['reason']}" if data["reason"] else "")),
        ("round", data["round"]),
        ("spent", spent(data)),
        ("policy", data["policy"]),
    ]
    lines += [(f"{one['type']} in {one['composition']}", type_text(one)) for one in data["types"]]
    proposal = data["proposal"]
    if proposal is not None:
        lines.append(("waits for approval", f"round {proposal['round']}: {proposal['action']}. {proposal['reason']}"))
    return Facts(f"campaign {data['name']}", data, [line for line in lines if line[1] not in ("", None, [])])


def spent(data: Mapping[str, Any]) -> str:
    """Returns what a campaign used of its budget, as a text."""
    used, budget = data["used"], data["budget"]
    parts = []
    for name, unit in (("calculations", "calculations"), ("node_hours", "node-hours")):
        most = budget.get(name)
        parts.append(f"{format_value(used[name])}{'' if most is None else f' of {format_value(most)}'} {unit}")
    return ", ".join(parts)


def type_text(one: Mapping[str, Any]) -> str:
    """Returns how well a bond type is known, as a text."""
    if one["rmse"] is None:
        error = "error not known yet"
    else:
        interval = "" if one["low"] is None else f" ({format_value(one['low'])} to {format_value(one['high'])})"
        error = f"RMSE {format_value(one['rmse'])}{interval} eV"
    covered = "" if one["covered"] is None else f", {100 * one['covered']:.0f} % covered"
    return f"{one['verdict']}: {error}, target {format_value(one['target'])} eV, {one['families']} families{covered}"


def decision_facts(campaign: str, data: Mapping[str, Any]) -> Facts:
    """Returns a decision as a panel, with a line for each calculation that it asks for."""
    who = f" by {data['decided_by']}" if data["decided_by"] else ""
    lines: list[tuple[str, Any]] = [
        ("action", data["action"]),
        ("why", data["reason"]),
        ("state", f"{data['state']}{who}"),
        ("comment", data["comment"]),
    ]
    lines += [(str(pick["number"]), pick_text(pick)) for pick in data["picks"]]
    return Facts(f"campaign {campaign}, round {data['round']}", data, [line for line in lines if line[1] != ""])


def pick_text(pick: Mapping[str, Any]) -> str:
    """Returns what one calculation of a proposal is, why, and what it costs."""
    cost = "" if pick["cost"] is None else f", about {format_value(pick['cost'])} node-hours"
    return f"{pick['kind']} {pick['name']} ({pick['composition']}){cost}: {pick['why']}"


def decision_table(decisions: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of decisions."""
    names = ("round", "action", "calculations", "state", "by", "why")
    rows = [
        [one["round"], one["action"], len(one["picks"]), one["state"], one["decided_by"] or None, one["reason"]]
        for one in decisions
    ]
    return _table(names, rows, caption)


def history_table(rounds: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of rounds, with a column for the error of each bond type."""
    kinds = list(dict.fromkeys(status["type"] for one in rounds for status in one["types"]))
    columns = [_column(name) for name in ("round", "action", "calculations", "failed", "node-hours")]
    columns += [Column(kind, "eV") for kind in kinds]
    rows = []
    for one in rounds:
        worst: dict[str, float] = {}
        for status in one["types"]:
            if status["rmse"] is not None:
                worst[status["type"]] = max(worst.get(status["type"], 0.0), status["rmse"])
        own = [one["round"], one["action"], one["calculations"], one["failed"], one["node_hours"]]
        rows.append([*own, *(worst.get(kind) for kind in kinds)])
    return Table(columns, rows, caption)


def run_table(runs: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of runs."""
    names = ("run", "round", "stage", "cell", "composition", "state", "calculation", "why it failed")
    rows = [
        [
            one["number"], one["round"], one["stage"], one["cell"], one["composition"], one["state"],
            one["calculation"], one["reason"] or None,
        ]
        for one in runs
    ]  # fmt: skip
    return _table(names, rows, caption)


def evaluation_table(evaluations: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of evaluations."""
    names = ("evaluation", "kind", "model", "state", "made")
    rows = [[one["number"], one["kind"], one["model"], one["state"], one["created_at"][:16]] for one in evaluations]
    return _table(names, rows, caption)


def evaluation_facts(data: Mapping[str, Any]) -> Facts:
    """Returns an evaluation as a panel."""
    lines: list[tuple[str, Any]] = [("kind", data["kind"]), ("model", data["model"]), ("state", data["state"])]
    result = data.get("result") or {}
    lines += [(name, value) for name, value in result.items() if not isinstance(value, (dict, list))]
    return Facts(f"evaluation {data['number']}", data, lines)


def campaign_table(campaigns: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of campaigns."""
    names = ("campaign", "stream", "compositions", "state", "round", "spent", "waits for approval")
    rows = [
        [
            one["name"], one["stream"], one["compositions"], one["state"], one["round"], spent(one),
            None if one["proposal"] is None else one["proposal"]["action"],
        ]
        for one in campaigns
    ]  # fmt: skip
    return _table(names, rows, caption)


def composition_table(compositions: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of compositions."""
    names = ("composition", "aliases", "cells", "deformations", "labeled", "failed")
    rows = [
        [
            one["name"], one["aliases"] or None, one["counts"]["cells"], one["counts"]["deformations"],
            one["counts"]["labeled"], one["counts"]["failed"],
        ]
        for one in compositions
    ]  # fmt: skip
    return _table(names, rows, caption)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> Table:
    return Table([_column(name) for name in names], rows, caption)


def _column(name: str) -> Column:
    return Column(name, left=name not in NUMBERS)
