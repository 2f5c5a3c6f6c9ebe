"""The evaluations: what is learned, and what is tested. Families are never on both sides."""

from collections.abc import Callable
from typing import Any

import numpy as np

from server.campaigns.evaluations import scores
from server.campaigns.evaluations.learning_anew import Progress, Recipe, together
from server.campaigns.evaluations.scores import Predicted, rounded
from server.campaigns.evaluations.tested_bonds import folds, shuffled
from server.core.errors import Invalid

STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Families learned at the points of a learning curve."""


def cross_validation(recipe: Recipe, asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Learn all folds of families but one and test on that one, for each in turn."""
    tested = _crossed(recipe, asked, progress)
    return {"types": scores.by_type(tested, asked["seed"]), "parity": scores.parity(tested)}


def calibration(recipe: Recipe, asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Do the same, and compare errors with the standard deviations."""
    return {"types": scores.calibration(_crossed(recipe, asked, progress))}


def _crossed(recipe: Recipe, asked: dict[str, Any], progress: Progress) -> Predicted:
    parts = []
    dealt = folds(_two_families(recipe), asked["folds"], asked["seed"])
    for place, fold in enumerate(dealt):
        tested = np.isin(recipe.families, fold)
        parts.append(recipe.tested_without(tested, ~tested))
        progress((place + 1) / len(dealt))
    return together(parts)


def single_cell(recipe: Recipe, asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Learn all other families, and test on one cell, as in production."""
    tested = recipe.bonds.column("cell") == asked["cell"]
    if not tested.any():
        raise Invalid(f"cell is {asked['cell']!r}: the bonds to evaluate on have none of this cell", field="cell")
    family = recipe.families[tested][0]
    learned = recipe.families != family
    if not learned.any():
        raise Invalid(
            f"all bonds are of the family {family}, so nothing is left to learn: label other cells", field="cell"
        )
    found = recipe.tested_without(tested, learned)
    progress(1.0)
    return {
        "cell": asked["cell"], "family": family, "learned": int(learned.sum()),
        "types": scores.by_type(found, asked["seed"]), "parity": scores.parity(found),
    }  # fmt: skip


def across_compositions(recipe: Recipe, asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Learn all compositions but one, and test on that one, for each in turn."""
    compositions = recipe.bonds.column("composition")
    names = sorted(set(compositions.tolist()))
    if len(names) < 2:
        raise Invalid(f"all bonds are of {names[0]}: expected at least two compositions", field="database")
    found = {}
    for place, name in enumerate(names):
        tested = compositions == name
        learned = ~np.isin(recipe.families, recipe.families[tested])
        if learned.any():
            found[name] = scores.by_type(recipe.tested_without(tested, learned), asked["seed"])
        progress((place + 1) / len(names))
    return {"compositions": found}


def learning_curve(recipe: Recipe, asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Learn family after family, and test on held-out ones in between; say what one more would bring.

    Each fold of families is held out in turn. ``points`` has the families and the mean number of cells learned, with the errors
    by type. ``next`` has for each type the RMSE that a power law through the last points expects with one more family, and
    how much lower that is, in eV; None where fewer than three points are known.
    """
    dealt = folds(_two_families(recipe), asked["folds"], asked["seed"])
    cells = recipe.bonds.column("cell")
    most = len(recipe.bonds.families) - max(map(len, dealt))
    steps = sorted({step for step in STEPS if step < most} | {most})
    parts: dict[int, list[Predicted]] = {step: [] for step in steps}
    counts: dict[int, list[int]] = {step: [] for step in steps}
    for place, fold in enumerate(dealt):
        held = np.flatnonzero(np.isin(recipe.families, fold))
        order = shuffled([name for name in recipe.bonds.families if name not in fold], asked["seed"])
        replica, known = recipe.new(), 0
        for step in steps:
            rows = [row for name in order[known:step] for row in np.flatnonzero(recipe.families == name).tolist()]
            recipe.learn(replica, rows)
            known = step
            parts[step].append(recipe.predict(replica, held))
            counts[step].append(len(set(cells[np.isin(recipe.families, order[:step])].tolist())))
            progress((place + known / most) / len(dealt))
    points: list[dict[str, Any]] = [
        {
            "families": step,
            "cells": rounded(float(np.mean(counts[step]))),
            "types": scores.by_type(together(parts[step]), asked["seed"]),
        }
        for step in steps
    ]
    return {"points": points, "next": {kind: _next(points, kind) for kind in points[-1]["types"]}}


LAST = 4
"""Points that the power law goes through."""


def _next(points: list[dict[str, Any]], kind: str) -> dict[str, float] | None:
    rows = [
        (one["families"], one["types"][kind]["rmse"])
        for one in points[-LAST:]
        if one["types"].get(kind, {}).get("rmse") is not None
    ]
    if len(rows) < 3 or any(rmse <= 0 for _, rmse in rows):
        return None
    number, rmse = np.log(np.array(rows, dtype=float)).T
    spread = number - number.mean()
    slope = min(0.0, float((spread * (rmse - rmse.mean())).sum() / (spread**2).sum()))
    last = rows[-1]
    expected = last[1] * ((last[0] + 1) / last[0]) ** slope
    return {"exponent": rounded(slope), "rmse": rounded(expected), "gain": rounded(last[1] - expected)}


def _two_families(recipe: Recipe) -> list[str]:
    names = recipe.bonds.families
    if len(names) < 2:
        raise Invalid(
            f"all bonds are of the family {names[0]}: expected at least two families, since one is learned and one is tested",
            field="database",
        )
    return names


LEARNING: dict[str, Callable[[Recipe, dict[str, Any], Progress], dict[str, Any]]] = {
    "cross_validation": cross_validation,
    "single_cell": single_cell,
    "across_compositions": across_compositions,
    "calibration": calibration,
    "learning_curve": learning_curve,
}
COVERAGE = "coverage"
KINDS = (*LEARNING, COVERAGE)
