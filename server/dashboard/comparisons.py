"""What a comparison of models says: which to use, how sure that is, and the curves."""

import math
from collections.abc import Sequence
from typing import Any

from server.core.errors import Invalid
from server.dashboard.charts import Chart, Series
from server.dashboard.formatting import number, share
from server.learning.models import Model
from server.learning.records import reading

CLASSES = ("binary", "multiclass")
COMPARED = ("regression", *CLASSES)
LATEST = 0.1
"""Share of the common observations that counts as the latest."""

FEW = 20
"""Fewest buckets of the curves of which a tenth says something."""


def check(models: Sequence[Model]) -> None:
    """Check that these models can be compared.

    Raises
    ------
    Invalid
        If they are of different streams, predict things of different kinds, or nothing that has an error.
    """
    streams = sorted({model.stream.name for model in models})
    if len(streams) > 1:
        raise Invalid(
            f"these models are of different streams ({', '.join(streams)}): choose models of one stream, since only "
            "these predict the same observations",
            field="model",
        )
    for model in models:
        if model.flavor not in COMPARED:
            raise Invalid(
                f"model {model.name} is of the flavor {model.flavor}, whose predictions have no error: choose models that "
                "predict numbers or labels",
                field="model",
            )
    if len({model.flavor in CLASSES for model in models}) > 1:
        kinds = ", ".join(f"{model.name}: {model.flavor}" for model in models)
        raise Invalid(
            f"these models predict different things ({kinds}): choose models that all predict numbers, or all labels",
            field="model",
        )


def shown(models: Sequence[Model], found: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a comparison: ``verdict``, ``is_class``, ``unit``, ``rows``, and ``segments`` as a table."""
    names = [model.name for model in models]
    unit = models[0].stream.target_unit
    return {
        "is_class": models[0].flavor in CLASSES,
        "unit": unit,
        "segment": models[0].stream.segment,
        "verdict": _verdict(models, found) if found["common"] else _nothing_common(models, found),
        "rows": found["models"],
        "segments": [
            {
                "segment": row["segment"],
                "count": row["count"],
                "best": min(names, key=lambda name: row["RMSE"][name]),
                "cells": [
                    {"model": name, "RMSE": row["RMSE"][name], "MAE": row["RMSE"][name] ** 2, "wins": row["wins"][name]}
                    for name in names
                ],
            }
            for row in found["segments"]
        ],
    }


def _nothing_common(models: Sequence[Model], found: dict[str, Any]) -> str:
    parts = []
    for model in models:
        known = reading.extent(model)
        if known.last < known.first:
            parts.append(f"nothing of {model.name} is recorded yet")
        else:
            parts.append(f"{model.name} is recorded from {number(known.first)} to {number(known.last)}")
    said = f"No observation was predicted and scored by all of these models: {'; '.join(parts)}."
    if found["first"] <= found["last"]:
        return f"{said} In the range {number(found['first'])} to {number(found['last'])} they skipped, or had nothing to say."
    return f"{said} Choose another range, or wait for observations that all of them learn."


def _verdict(models: Sequence[Model], found: dict[str, Any]) -> str:
    is_class = models[0].flavor in CLASSES
    unit = "" if is_class or not models[0].stream.target_unit else f" {models[0].stream.target_unit}"
    (best,) = [row for row in found["models"] if row["best"]]
    others = [row for row in found["models"] if not row["best"]]
    over = f"Over {number(found['common'])} observations that all {len(models)} models predicted"
    if is_class:
        lead = f"{over}, {best['model']} has the smallest share of wrong labels ({share(best['MAE'])})"
    else:
        lead = f"{over}, {best['model']} has the lowest RMSE ({number(best['RMSE'])}{unit})"
    unsure = [row for row in others if row["low"] is None]
    close = [row for row in others if row["low"] is not None and row["low"] <= 0 <= row["high"]]
    nearer = [row for row in others if row["high"] is not None and row["high"] < 0]

    def between(row: dict[str, Any]) -> str:
        if is_class:
            return f"{_points(row['low'])} to {_points(row['high'])} points"
        return f"{number(row['low'])} to {number(row['high'])}{unit}"

    if unsure:
        said = f"{lead}, but these are too few to be sure: take it for now, and look again later."
    elif nearer:
        other = nearer[0]
        said = (
            f"{lead}, but the mean absolute error of {other['model']} is surely smaller (by {between(_turned(other))}, 95 % "
            f"sure). Use {best['model']} where large errors cost most, else {other['model']}."
        )
    elif close:
        rivals = ", ".join(row["model"] for row in close[:5])
        said = (
            f"{lead}, but it can't be told from {rivals}: the mean absolute error of {close[0]['model']} differs by "
            f"{between(close[0])} (95 % sure), which includes none at all. Either will do."
        )
    else:
        least = min(others, key=lambda row: row["low"])
        said = (
            f"Use {best['model']}. {lead}, and its absolute error is smaller than that of every other model, 95 % sure: "
            f"than that of {least['model']} by {between(least)}."
        )
    return said + _latest(best["model"], found) + _not_serving(models, best["model"])


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    return {"low": -row["high"], "high": -row["low"]}


def _points(value: float) -> str:
    return number(100 * value)


def _latest(best: str, found: dict[str, Any]) -> str:
    """Say so if another model is best in the latest observations."""
    curves = found["curves"]["RMSE"]
    size = len(found["curves"]["n"])
    if size < FEW:
        return ""
    last = max(1, round(LATEST * size))
    now = {name: math.sqrt(sum(value**2 for value in values[-last:]) / last) for name, values in curves.items()}
    leader = min(now, key=lambda name: now[name])
    if leader == best:
        return " In the latest tenth of them, too, it is best."
    return f" In the latest tenth of them, {leader} is best: if that goes on, use it."


def _not_serving(models: Sequence[Model], name: str) -> str:
    (model,) = [model for model in models if model.name == name]
    if model.status in (Model.READY, Model.REBUILDING):
        return ""
    return f" But {name} answers no requests now: its status is {model.status}."


def curves(models: Sequence[Model], found: dict[str, Any]) -> Chart:
    """Return the curves of all models over the observations that all of them scored."""
    is_class = models[0].flavor in CLASSES
    unit = "" if is_class or not models[0].stream.target_unit else f" ({models[0].stream.target_unit})"
    what = "share of wrong labels" if is_class else "RMSE"
    own = found["curves"].get("RMSE", {})
    series = [
        Series(model.name, [value**2 for value in own[model.name]] if is_class else own[model.name], tone=index)
        for index, model in enumerate(models)
        if model.name in own
    ]
    last = ", ".join(f"{one.label} {number(one.values[-1])}" for one in series if one.values)
    size = found["curves"].get("per_bucket", 1)
    each = f" Each position is over {number(size)} observations." if size > 1 else ""
    return Chart(
        "comparison",
        f"{what[0].upper()}{what[1:]} over the same observations",
        f"At the end of the range: {last}.{each}" if last else "No observation was scored by all of these models.",
        "observation",
        f"{what}{unit}",
        found["curves"]["n"],
        series,
    )
