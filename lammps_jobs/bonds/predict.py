"""Bond strengths of a structure of any size, from a model that learned them bond by bond.

A cell of a million atoms is cut into pieces; each is surveyed, described and predicted on its own, on Dask's workers.
What is kept of a piece is some 40 bytes a bond, so that memory is that of a few pieces, the structure and the answer.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TextIO

import numpy as np
from ase import Atoms

from lammps_jobs.bonds import icohplist
from lammps_jobs.bonds.definition import DEFAULT, Definition
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.neighbours import LONGEST, SHORTEST, Bonds
from lammps_jobs.bonds.pieces import Piece, Pieces
from lammps_jobs.bonds.soap import Descriptor
from lammps_jobs.bonds.strengths import strengths
from lammps_jobs.bonds.survey import survey
from lammps_jobs.bonds.types import LabeledBond
from lammps_jobs.bonds.workers import each, workers

__all__ = ["PIECE", "Prediction", "predict"]

PIECE = 2500
"""Atoms of a piece. Smaller ones need less memory and more time, since more atoms are described in two pieces."""
ROWS = 50_000
"""Bonds that are written at a time."""


@dataclass(frozen=True)
class Prediction:
    """The bonds of a structure and what a model says of them, ordered as `find` orders bonds.

    Attributes
    ----------
    bonds
        n of them.
    types
        ``Zr-Cu`` …, shape (n,).
    strength, deviation
        -ICOHP and its standard deviation in eV, each of shape (n,); nan where the model has none.
    """

    bonds: Bonds
    types: np.ndarray
    strength: np.ndarray
    deviation: np.ndarray

    def __len__(self) -> int:
        return len(self.bonds)

    @property
    def unlearned(self) -> dict[str, int]:
        """Types of which the model has learned no bond, and how many bonds of each there are."""
        types, counts = np.unique(self.types[~np.isfinite(self.strength)], return_counts=True)
        return dict(zip(types.tolist(), counts.tolist(), strict=True))

    def learned(self) -> Prediction:
        """Without the bonds of `unlearned` types."""
        known = np.isfinite(self.strength)
        return Prediction(self.bonds.take(known), self.types[known], self.strength[known], self.deviation[known])

    def labeled(self, symbols: Sequence[str]) -> Iterator[LabeledBond]:
        """The bonds as a label file lists them, one at a time; `symbols` are the elements of all atoms."""
        elements = np.asarray(symbols, dtype=str)
        for first in range(0, len(self), ROWS):
            bonds = self.bonds.take(np.arange(first, min(first + ROWS, len(self))))
            columns = (
                bonds.i.tolist(), bonds.j.tolist(), map(tuple, bonds.translation.tolist()), bonds.distance.tolist(),
                zip(elements[bonds.i].tolist(), elements[bonds.j].tolist(), strict=True),
                (-self.strength[first : first + ROWS]).tolist(),
            )  # fmt: skip
            for row in zip(*columns, strict=True):
                yield LabeledBond(*row)

    def write(self, path: str | os.PathLike[str], symbols: Sequence[str]) -> str:
        """Write a bond list in LOBSTER's format, and the uncertainties as CSV beside it.

        Each of the two is written whole or not at all.

        Returns
        -------
        str
            Path of the uncertainties, ``PATH.sd.csv``: number in the list, both atoms, type, -ICOHP and standard
            deviation in eV, which is empty where the model has none.

        Raises
        ------
        Refused
            If there is no bond, or one of an unlearned type (see `learned`).
        """
        if self.unlearned:
            told = ", ".join(f"{kind} ({count:,})" for kind, count in self.unlearned.items())
            raise Refused(f"the model has learned no bond of these types, which the structure has: {told}")
        beside = f"{os.fspath(path)}.sd.csv"
        unfinished = f"{beside}.unfinished"
        try:
            with open(unfinished, "w", encoding="ascii", newline="\n") as file:
                icohplist.write(path, self._noted(symbols, file))
            os.replace(unfinished, beside)
        except BaseException:
            if os.path.exists(unfinished):
                os.remove(unfinished)
            raise
        return beside

    def _noted(self, symbols: Sequence[str], file: TextIO) -> Iterator[LabeledBond]:
        """The bonds as `labeled` gives them, each with a line in `file`: both lists are written in one go."""
        file.write("cohp,atom_i,atom_j,bond,minus_icohp,sd\n")
        rows = zip(self.labeled(symbols), self.types, self.deviation, strict=True)
        for number, (bond, kind, deviation) in enumerate(rows, start=1):
            a, b = bond.elements
            sd = "" if math.isnan(deviation) else f"{deviation:.5f}"
            file.write(f"{number},{a}{bond.i + 1},{b}{bond.j + 1},{kind},{-bond.icohp:.5f},{sd}\n")
            yield bond


def predict(
    structure: Atoms,
    estimator: Any,
    definition: Definition = DEFAULT,
    *,
    shortest: float = SHORTEST,
    longest: float = LONGEST,
    piece: int = PIECE,
    scheduler: str = "threads",
    count: int | None = None,
    advance: Callable[[int], None] = lambda atoms: None,
) -> Prediction:
    """Every bond of a structure with what a model says of it.

    The answer does not depend on the workers or their number.

    Parameters
    ----------
    structure
        Periodic, of any size.
    estimator
        A regressor that learned observations of `cell.observations`; see `strengths`.
    definition
        That of the features which it learned.
    shortest, longest
        Lengths of bonds, Å.
    piece
        About how many atoms are worked at in one go.
    scheduler, count
        See `workers`.
    advance
        Told of each number of atoms that are done.

    Raises
    ------
    Refused
        If the structure or the model is no use; nothing is half done then.
    """
    if not len(structure):
        raise Refused("there are no atoms")
    descriptor = _descriptor(definition)
    descriptor.check(structure)
    pieces = Pieces(structure, longest + descriptor.reach, piece)
    found: list[_Found] = []
    with workers(scheduler, count) as client:
        for one in each(client, _predicted, pieces, definition, estimator, (shortest, longest)):
            found.append(one)
            advance(one.atoms)
    return _joined(found, structure.get_chemical_symbols())


@dataclass(frozen=True, slots=True)
class _Found:
    """What is kept of a piece: numbers of no more bytes than they need."""

    atoms: int
    i: np.ndarray
    j: np.ndarray
    translation: np.ndarray
    distance: np.ndarray
    strength: np.ndarray
    deviation: np.ndarray


@lru_cache(maxsize=4)
def _descriptor(definition: Definition) -> Descriptor:
    return Descriptor(definition)


def _predicted(piece: Piece, definition: Definition, estimator: Any, cutoffs: tuple[float, float]) -> _Found:
    """What a worker does with a piece."""
    found = survey(piece, _descriptor(definition), *cutoffs)
    bonds = found.bonds
    strength, deviation = strengths(estimator, found.types, bonds.distance, found.soap)
    return _Found(
        piece.own, bonds.i.astype(np.int32), bonds.j.astype(np.int32), bonds.translation.astype(np.int16),
        bonds.distance, strength, deviation,
    )  # fmt: skip


def _joined(found: list[_Found], symbols: Sequence[str]) -> Prediction:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(one, name) for one in found])

    i, j, translation, distance = (column(name) for name in ("i", "j", "translation", "distance"))
    # The key of `find`; images at the same distance differ by rounding here, so that the translation decides sooner.
    order = np.lexsort((*translation.T[::-1], np.round(distance, 9), j, i))
    bonds = Bonds(i[order], j[order], translation[order], distance[order])
    return Prediction(bonds, bonds.types(symbols), column("strength")[order], column("deviation")[order])
