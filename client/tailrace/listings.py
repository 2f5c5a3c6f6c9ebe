"""Tables of what a server has: streams, models, recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.results import Facts
from tailrace.tables import Column, Table, shown

__all__ = ["model_table", "parameter_table", "recipe_facts", "recipe_table", "stream_table"]


def stream_table(streams: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Streams as a table."""
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
    """Models as a table."""
    columns = [
        Column("model", left=True), Column("stream", left=True), Column("recipe", left=True),
        Column("flavor", left=True), Column("status", left=True), Column("observations"),
    ]  # fmt: skip
    rows = [
        [one["name"], one["stream"], one["recipe"], one["flavor"], one["status"], one["progress"]] for one in models
    ]
    return Table(columns, rows, caption)


def recipe_table(recipes: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Recipes as a table."""
    columns = [Column(name, left=True) for name in ("recipe", "flavor", "summary", "parameters")]
    rows = [
        [
            one["name"],
            one["flavor"],
            one["summary"],
            [f"{p['name']}={shown(p.get('default'))}" for p in one["parameters"]],
        ]
        for one in recipes
    ]
    return Table(columns, rows, caption)


def parameter_table(recipe: Mapping[str, Any]) -> Table:
    """A recipe's parameters as a table."""
    columns = [
        Column("parameter", left=True),
        Column("kind", left=True),
        Column("default"),
        Column("what it is", left=True),
    ]
    rows = [[one["name"], one["kind"], one.get("default"), one.get("description", "")] for one in recipe["parameters"]]
    return Table(columns, rows, f"{recipe['name']}: {recipe['summary']} ({recipe['flavor']})")


def recipe_facts(recipe: Mapping[str, Any]) -> Facts:
    """One recipe as a panel."""
    lines: list[tuple[str, Any]] = [("flavor", recipe["flavor"]), ("", recipe["description"])]
    lines += [
        (one["name"], f"{shown(one.get('default'))}: {one.get('description', '')}") for one in recipe["parameters"]
    ]
    return Facts(f"recipe {recipe['name']}: {recipe['summary']}", recipe, lines)
