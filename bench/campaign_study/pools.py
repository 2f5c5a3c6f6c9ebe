"""Cells of the study, and what can be asked for: whole cells, or batches of a few bonds of one type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.calculation import LABELS
from lammps_jobs.bonds.learning.evaluation import Bonds, read

__all__ = ["Cell", "Unit", "batches", "cells_of", "whole"]

_NAME = re.compile(r"(?P<composition>[A-Za-z0-9]+)-(?P<run>\d+)-(?P<subrun>\d\d)")


@dataclass(frozen=True)
class Cell:
    """A labeled cell. ``deformation`` is 0 for the cell that molecular dynamics made."""

    name: str
    composition: str
    family: str
    deformation: int
    bonds: Bonds


@dataclass(frozen=True)
class Unit:
    """What is asked for at once: some bonds of a cell, by type.

    Attributes
    ----------
    rows
        Bond type to the indices of its bonds in the cell.
    """

    name: str
    cell: Cell
    rows: dict[str, np.ndarray] = field(hash=False)

    @property
    def labels(self) -> int:
        return sum(len(rows) for rows in self.rows.values())


def cells_of(place: Path) -> list[Cell]:
    """Return the labeled cells below a directory, by name.

    Raises
    ------
    BenchError
        If there is none.
    """
    found = []
    for directory in sorted(place.iterdir()) if place.is_dir() else ():
        named = _NAME.fullmatch(directory.name)
        if named is None or not (directory / LABELS).is_file():
            continue
        try:
            bonds = read([directory])
        except Refused as refused:
            raise BenchError(f"{directory.name} can't be used: {refused}") from refused
        family = f"{named['composition']}-{named['run']}-00"
        found.append(Cell(directory.name, named["composition"], family, int(named["subrun"]), bonds))
    if not found:
        raise BenchError(f"there is no labeled cell in {place}")
    return found


def whole(cells: Sequence[Cell], kinds: Sequence[str]) -> list[Unit]:
    """Return each cell as one unit."""
    return [Unit(cell.name, cell, {kind: np.flatnonzero(cell.bonds.types == kind) for kind in kinds}) for cell in cells]


def batches(
    cells: Sequence[Cell], kinds: Sequence[str], size: int, seed: int, without: set[tuple[str, int]]
) -> list[Unit]:
    """Return random batches of at most ``size`` bonds of one type of one cell, without the bonds that are tested."""
    random = np.random.default_rng(seed)
    return [unit for cell in cells for kind in kinds for unit in _batches(cell, kind, size, random, without)]


def _batches(
    cell: Cell, kind: str, size: int, random: np.random.Generator, without: set[tuple[str, int]]
) -> Iterator[Unit]:
    rows = np.array(
        [row for row in np.flatnonzero(cell.bonds.types == kind) if (cell.name, int(row)) not in without], int
    )
    rows = random.permutation(rows)
    for number, first in enumerate(range(0, len(rows), size)):
        yield Unit(f"{cell.name}/{kind}/{number:03d}", cell, {kind: rows[first : first + size]})
