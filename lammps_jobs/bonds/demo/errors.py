"""Errors on held-out bonds, and prequential errors, by the number of learned cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lammps_jobs.bonds.demo.stream import HeldOutPredictions

__all__ = ["ALL", "Curves", "covered", "held_out", "prequential", "rmse"]

ALL = "all"


@dataclass(frozen=True)
class Curves:
    """Root mean square errors after each cell, in eV.

    Attributes
    ----------
    bonds
        Number of scored bonds, by type of bond and for `ALL`.
    errors
        By recipe, then by type: one number for each cell; nan if the cell has no predicted bond of that type.
    """

    bonds: dict[str, int]
    errors: dict[str, dict[str, list[float]]]


def rmse(errors: np.ndarray) -> float:
    """Return the root mean square of the errors, ignoring nan; nan if there are no others."""
    known = errors[np.isfinite(errors)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else float("nan")


def held_out(types: np.ndarray, strength: np.ndarray, predicted: Sequence[HeldOutPredictions]) -> Curves:
    """Return the errors on the held-out bonds after each learned cell.

    Parameters
    ----------
    types, strength
        Types of the held-out bonds (``Zr-Cu`` …) and their -ICOHP in eV, each of shape (n,).
    predicted
        The predictions after each cell, at least one.
    """
    masks = {kind: types == kind for kind in sorted(set(types.tolist()), reverse=True)}
    masks[ALL] = np.ones(len(types), dtype=bool)
    return Curves(
        {kind: int(mask.sum()) for kind, mask in masks.items()},
        {
            recipe: {kind: [rmse((one.predictions[recipe] - strength)[mask]) for one in predicted] for kind, mask in masks.items()}
            for recipe in predicted[0].predictions
        },
    )  # fmt: skip


def prequential(log: Sequence[Mapping[str, Any]], lasts: Sequence[int], models: Mapping[str, str]) -> Curves:
    """Return the errors on each cell's own bonds, each predicted before it was learned.

    The first bond of each type doesn't count, because no model has learned the type before.

    Parameters
    ----------
    log
        All observations in order, as the server returns them.
    lasts
        Number of the last observation of each cell, in order.
    models
        Recipe to the name of its model.
    """
    seen: set[str] = set()
    cell = np.searchsorted(np.array(lasts), [one["seq"] for one in log])
    found: dict[str, dict[str, list[list[float]]]] = {recipe: {} for recipe in models}
    bonds: dict[str, int] = {}
    for place, one in zip(cell.tolist(), log, strict=True):
        kind = one["x"]["bond"]
        if kind not in seen:
            seen.add(kind)
            continue
        for counted in (kind, ALL):
            bonds[counted] = bonds.get(counted, 0) + 1
        for recipe, model in models.items():
            predicted = one.get("predictions", {}).get(model)
            for counted in (kind, ALL):
                errors = found[recipe].setdefault(counted, [[] for _ in lasts])
                if predicted is not None:
                    errors[place].append(predicted - one["y"])
    return Curves(
        bonds,
        {
            recipe: {kind: [rmse(np.array(errors)) for errors in by_cell] for kind, by_cell in by_type.items()}
            for recipe, by_type in found.items()
        },
    )


def covered(strength: np.ndarray, intervals: np.ndarray) -> tuple[int, int]:
    """Return how many of n bonds lie in their intervals, shape (n, 2), and how many have an interval."""
    low, high = intervals.T
    return int(np.sum((low <= strength) & (strength <= high))), int(np.isfinite(low).sum())
