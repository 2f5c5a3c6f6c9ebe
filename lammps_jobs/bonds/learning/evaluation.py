"""Evaluation of a recipe for bond strengths, and of batch Gaussian process regression on the same bonds.

There are two protocols: *cell* learns from some cells and tests on others; *split* learns from a random choice of all
bonds and tests on the rest. The recipe learns in one pass, bond by bond, as on a server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tailrace.estimators.bond_recipes import RECIPES

from lammps_jobs.bonds.descriptors.definition import DEFAULT, Definition
from lammps_jobs.bonds.descriptors.soap import Descriptor
from lammps_jobs.bonds.descriptors.unprojected_soap import unit_vectors
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import calculation
from lammps_jobs.bonds.learning.batch_gpr import BatchGPR
from lammps_jobs.bonds.learning.cell_observations import described, features

__all__ = ["LEVEL", "ORDER", "PAPER", "Bonds", "TypeResult", "evaluate", "read", "split"]

LEVEL = 0.95
ORDER = ("Zr-Cu", "Zr-Zr", "Cu-Cu", "Zr-Al", "Cu-Al", "Al-Al")
PAPER = {
    "split": {"Zr-Cu": 0.0826, "Zr-Zr": 0.0906, "Cu-Cu": 0.0476, "Zr-Al": 0.0682, "Cu-Al": 0.0535},
    "cell": {
        "Zr-Cu": 0.1218, "Zr-Zr": 0.1604, "Cu-Cu": 0.0722, "Zr-Al": 0.0895, "Cu-Al": 0.0714, "Al-Al": 0.0672,
    },
}  # fmt: skip
"""RMSE in eV that the paper reports: with 2000 bonds of each type learned and 1000 tested; and on its test cell."""


@dataclass(frozen=True)
class Bonds:
    """The n labeled bonds of one or more cells.

    Attributes
    ----------
    types
        Types such as ``Zr-Cu``, shape (n,).
    distance
        Lengths, Å, shape (n,).
    soap
        Projected ½(sA+sB), shape (n, P).
    unprojected
        ½(sA+sB) without projection, shape (n, L).
    strength
        -ICOHP in eV, shape (n,).
    """

    types: np.ndarray
    distance: np.ndarray
    soap: np.ndarray
    unprojected: np.ndarray
    strength: np.ndarray

    def __len__(self) -> int:
        return len(self.strength)

    def take(self, rows: np.ndarray) -> Bonds:
        """Return some of the bonds, chosen by indices or by a mask."""
        return Bonds(
            self.types[rows], self.distance[rows], self.soap[rows], self.unprojected[rows], self.strength[rows]
        )


@dataclass(frozen=True)
class TypeResult:
    """Result for one type of bond, with m tested bonds.

    Attributes
    ----------
    learned
        Number of learned bonds of the type.
    strength, predicted
        Calculated and predicted -ICOHP, eV, shape (m,).
    batch
        Prediction of batch regression, eV, shape (m,); None if there was no bond to fit.
    coverage
        Share of the bonds within the predictive interval of `LEVEL`; None for a recipe without intervals.
    """

    learned: int
    strength: np.ndarray
    predicted: np.ndarray
    batch: np.ndarray | None
    coverage: float | None

    @property
    def rmse(self) -> float:
        """Root mean square error of the recipe, eV."""
        return _rmse(self.predicted - self.strength)

    @property
    def rmse_batch(self) -> float | None:
        """Root mean square error of batch regression, eV."""
        return None if self.batch is None else _rmse(self.batch - self.strength)

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain data."""
        return {
            "n": len(self.strength), "rmse": self.rmse, "rmse_batch_gpr": self.rmse_batch,
            "coverage95": self.coverage,
        }  # fmt: skip


def read(
    directories: Sequence[Path], definition: Definition = DEFAULT, done: Callable[[Path], None] = lambda _: None
) -> Bonds:
    """Return the bonds of labeled cells with their descriptors, in the order of the directories and label files.

    Parameters
    ----------
    directories
        The directories of the cells.
    definition
        The descriptor definition.
    done
        Called with each directory after it was read.

    Raises
    ------
    Refused
        If a cell can't be used. The message says which one, and why.
    """
    if not directories:
        raise Refused("there is no cell to read")
    descriptor = Descriptor(definition)
    parts = []
    for directory in directories:
        calculated = calculation.check(directory)
        cell = described(calculated.structure, calculated.bonds, descriptor, str(directory / calculation.LABELS))
        atoms = unit_vectors(calculated.structure, definition)
        whole = 0.5 * (atoms[cell.bonds.i] + atoms[cell.bonds.j])
        parts.append((cell.types, cell.bonds.distance, cell.soap, whole, cell.strength))
        done(directory)
    return Bonds(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def split(bonds: Bonds, learned: int, seed: int) -> tuple[Bonds, Bonds]:
    """Return a random choice of bonds to learn, from all types together, and the rest to test on.

    Raises
    ------
    Refused
        If no bond would be left to learn or to test on.
    """
    if not 0 < learned < len(bonds):
        raise Refused(f"{learned} of {len(bonds)} bonds can't be learned: expected 1 to {len(bonds) - 1}")
    order = np.random.default_rng(seed).permutation(len(bonds))
    return bonds.take(order[:learned]), bonds.take(np.sort(order[learned:]))


def evaluate(learn: Bonds, test: Bonds, recipe: str = "bond-gpr", *, batch: bool = True) -> dict[str, TypeResult]:
    """Learn some bonds in one pass and predict others.

    Parameters
    ----------
    learn, test
        Bonds to learn, in this order, and bonds to test on.
    recipe
        Name of a recipe in `tailrace.estimators.bond_recipes`.
    batch
        Whether to fit batch regression, too, which takes seconds for each type.

    Returns
    -------
    Results by type, for all types among the bonds to test.

    Raises
    ------
    Refused
        If there is no such recipe.
    """
    if recipe not in RECIPES:
        raise Refused(f"there is no recipe {recipe!r} for bonds: expected one of {', '.join(RECIPES)}")
    make: Any = RECIPES[recipe]
    model = make()
    for x, y in zip(features(learn.types, learn.distance, learn.soap), learn.strength.tolist(), strict=True):
        model.learn_one(x, y)
    return {kind: _evaluate_type(kind, model, learn, test, batch) for kind in _types(test)}


def _evaluate_type(kind: str, model: Any, learn: Bonds, test: Bonds, batch: bool) -> TypeResult:
    asked, known = test.take(test.types == kind), learn.take(learn.types == kind)
    xs = features(asked.types, asked.distance, asked.soap)
    predicted = np.array([model.predict_one(x) for x in xs])
    coverage = None
    interval: Any = getattr(model, "predict_interval_one", None)
    if interval is not None:
        bounds = np.array([interval(x, LEVEL) for x in xs])
        coverage = float(((bounds[:, 0] <= asked.strength) & (asked.strength <= bounds[:, 1])).mean())
    by_batch = None
    if batch and len(known):
        fitted = BatchGPR.fit(kind, known.distance, known.unprojected, known.strength, np.random.default_rng(0))
        by_batch = fitted.predict(asked.distance, asked.unprojected)
    return TypeResult(len(known), asked.strength, predicted, by_batch, coverage)


def _types(bonds: Bonds) -> list[str]:
    found = set(bonds.types.tolist())
    return [kind for kind in ORDER if kind in found] + sorted(found - set(ORDER))


def _rmse(errors: np.ndarray) -> float:
    return math.sqrt(float(np.mean(errors**2)))
