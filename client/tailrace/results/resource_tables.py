"""Tables of a server's streams, models, recipes, calculations and clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.display.tables import Column, Table, format_value
from tailrace.results.facts import Facts

__all__ = [
    "calculation_table",
    "cluster_table",
    "model_table",
    "parameter_table",
    "recipe_facts",
    "recipe_table",
    "stream_table",
]


def stream_table(streams: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of streams."""
    columns = [
        Column("stream", left=True), Column("target", left=True), Column("unit", left=True), Column("observations"),
        Column("features", left=True), Column("models", left=True),
    ]  # fmt: skip
    rows = [
        [
            one["name"], one["target"]["name"], one["target"]["unit"], one["head"],
            "any" if one["features"] is None else list(one["features"]), [model["name"] for model in one["models"]] or "none",
        ]
        for one in streams
    ]  # fmt: skip
    return Table(columns, rows, caption)


def model_table(models: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of models."""
    columns = [
        Column("model", left=True), Column("stream", left=True), Column("recipe", left=True),
        Column("flavor", left=True), Column("status", left=True), Column("observations"),
    ]  # fmt: skip
    rows = [
        [one["name"], one["stream"], one["recipe"], one["flavor"], one["status"], one["progress"]] for one in models
    ]
    return Table(columns, rows, caption)


def calculation_table(calculations: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of calculations."""
    names = ("calculation", "name", "program", "structure", "cluster", "state", "done", "submitted by")
    rows = [
        [
            one["id"], one["name"], one["program"], (one["structure"] or {}).get("formula"), one["cluster"], one["state"],
            f"{one['done']} of {one['total']}", one["created_by"],
        ]
        for one in calculations
    ]  # fmt: skip
    return Table([Column(name, left=name not in ("calculation", "done")) for name in names], rows, caption)


def cluster_table(clusters: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of clusters."""
    names = ("cluster", "state", "contact", "programs", "steps")
    rows = [
        [one["name"], one["state"], one["contact"], one["programs"], {k: n for k, n in one["steps"].items() if n}]
        for one in clusters
    ]
    return Table([Column(name, left=True) for name in names], rows, caption)


def recipe_table(recipes: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Returns a table of recipes."""
    columns = [Column(name, left=True) for name in ("recipe", "flavor", "summary", "parameters")]
    rows = [
        [
            one["name"],
            one["flavor"],
            one["summary"],
            [f"{p['name']}={format_value(p.get('default'))}" for p in one["parameters"]],
        ]
        for one in recipes
    ]
    return Table(columns, rows, caption)


def parameter_table(recipe: Mapping[str, Any]) -> Table:
    """Returns a table of a recipe's parameters."""
    columns = [
        Column("parameter", left=True),
        Column("kind", left=True),
        Column("default"),
        Column("what it is", left=True),
    ]
    rows = [[one["name"], one["kind"], one.get("default"), one.get("description", "")] for one in recipe["parameters"]]
    return Table(columns, rows, f"{recipe['name']}: {recipe['summary']} ({recipe['flavor']})")


def recipe_facts(recipe: Mapping[str, Any]) -> Facts:
    """Returns a recipe as a panel."""
    lines: list[tuple[str, Any]] = [("flavor", recipe["flavor"]), ("", recipe["description"])]
    lines += [
        (one["name"], f"{format_value(one.get('default'))}: {one.get('description', '')}")
        for one in recipe["parameters"]
    ]
    return Facts(f"recipe {recipe['name']}: {recipe['summary']}", recipe, lines)
