"""How the errors on held-out bonds, and on bonds about to be learned, fell with the number of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lammps_jobs.bonds.demo_stream import Said

__all__ = ["ALL", "Curves", "covered", "held_out", "prequential", "rmse"]

ALL = "all"


@dataclass(frozen=True)
class Curves:
    """Root mean square errors after each cell, in eV.

    Attributes
    ----------
    bonds
        By type of bond, and `ALL`: how many bonds were scored in all.
    errors
        By recipe, then by type: one number a cell; nan where a cell had no such bond, or none that was predicted.
    """

    bonds: dict[str, int]
    errors: dict[str, dict[str, list[float]]]


def rmse(errors: np.ndarray) -> float:
    """Root mean square of those errors that are numbers; nan where there are none."""
    known = errors[np.isfinite(errors)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else float("nan")


def held_out(types: np.ndarray, strength: np.ndarray, said: Sequence[Said]) -> Curves:
    """Errors on the same held-out bonds, after each cell.

    Parameters
    ----------
    types, strength
        Of the held-out bonds: ``Zr-Cu`` …, and -ICOHP in eV, each of shape (n,).
    said
        What was said of them after each cell, at least one.
    """
    masks = {kind: types == kind for kind in sorted(set(types.tolist()), reverse=True)}
    masks[ALL] = np.ones(len(types), dtype=bool)
    return Curves(
        {kind: int(mask.sum()) for kind, mask in masks.items()},
        {
            recipe: {kind: [rmse((one.predictions[recipe] - strength)[mask]) for one in said] for kind, mask in masks.items()}
            for recipe in said[0].predictions
        },
    )  # fmt: skip


def prequential(log: Sequence[Mapping[str, Any]], lasts: Sequence[int], models: Mapping[str, str]) -> Curves:
    """Errors on each cell's own bonds, each predicted before it was learned.

    The first bond of each type, which none could know, is left out.

    Parameters
    ----------
    log
        The observations from the first on, as the server gives them.
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
            said = one.get("predictions", {}).get(model)
            for counted in (kind, ALL):
                errors = found[recipe].setdefault(counted, [[] for _ in lasts])
                if said is not None:
                    errors[place].append(said - one["y"])
    return Curves(
        bonds,
        {
            recipe: {kind: [rmse(np.array(errors)) for errors in by_cell] for kind, by_cell in by_type.items()}
            for recipe, by_type in found.items()
        },
    )


def covered(strength: np.ndarray, intervals: np.ndarray) -> tuple[int, int]:
    """How many of n bonds lie in their intervals, shape (n, 2), and how many have one."""
    low, high = intervals.T
    return int(np.sum((low <= strength) & (strength <= high))), int(np.isfinite(low).sum())
