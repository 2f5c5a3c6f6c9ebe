"""Prediction of the bond strengths of a structure of any size.

A cell of a million atoms is cut into pieces. Dask's workers find, describe and predict the bonds of each piece
separately. The result takes about 40 bytes per bond, so memory is needed only for a few pieces, the structure and the
result.
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

from lammps_jobs.bonds.descriptors.definition import DEFAULT, Definition
from lammps_jobs.bonds.descriptors.soap import Descriptor
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.learning.dask_workers import each, workers
from lammps_jobs.bonds.learning.estimator_strengths import strengths
from lammps_jobs.bonds.learning.piece_bonds import survey
from lammps_jobs.bonds.structures.neighbours import LONGEST, SHORTEST, Bonds
from lammps_jobs.bonds.structures.pieces import Piece, Pieces
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["PIECE", "Prediction", "predict"]

PIECE = 2500
"""Atoms of a piece. Smaller pieces need less memory and more time, because more atoms are described in two pieces."""
ROWS = 50_000
"""Bonds that are written at once."""


@dataclass(frozen=True)
class Prediction:
    """The bonds of a structure and their predicted strengths, in the order of `neighbours.find`.

    Attributes
    ----------
    bonds
        The n bonds.
    types
        Types such as ``Zr-Cu``, shape (n,).
    strength, deviation
        -ICOHP and its standard deviation in eV, each of shape (n,); nan if the model gives none.
    """

    bonds: Bonds
    types: np.ndarray
    strength: np.ndarray
    deviation: np.ndarray

    def __len__(self) -> int:
        return len(self.bonds)

    @property
    def unlearned(self) -> dict[str, int]:
        """Number of bonds of each type that the model has not learned."""
        types, counts = np.unique(self.types[~np.isfinite(self.strength)], return_counts=True)
        return dict(zip(types.tolist(), counts.tolist(), strict=True))

    def learned(self) -> Prediction:
        """Return the prediction without the bonds of `unlearned` types."""
        known = np.isfinite(self.strength)
        return Prediction(self.bonds.take(known), self.types[known], self.strength[known], self.deviation[known])

    def labeled(self, symbols: Sequence[str]) -> Iterator[LabeledBond]:
        """Yield the bonds for a label file, one at a time. `symbols` are the elements of all atoms."""
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
        """Write a bond list in LOBSTER's format, and a CSV file with the uncertainties.

        Each file appears only when it is complete.

        Returns
        -------
        str
            Path of the uncertainties, ``PATH.sd.csv``: number in the list, both atoms, type, -ICOHP and standard
            deviation in eV. The deviation is empty if the model gives none.

        Raises
        ------
        Refused
            If there is no bond, or if there are bonds of an unlearned type (see `learned`).
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
        """Yield the bonds like `labeled`, and write each one's line to `file`: both files are written in one pass."""
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
    """Predict the strength of every bond of a structure.

    The result does not depend on the workers or their number.

    Parameters
    ----------
    structure
        A periodic structure of any size.
    estimator
        A regressor that learned observations of `cell_observations.observations`; see `strengths`.
    definition
        The descriptor definition of the features that it learned.
    shortest, longest
        Shortest and longest bond, Å.
    piece
        Approximate number of atoms in a piece.
    scheduler, count
        See `workers`.
    advance
        Called with the number of atoms of each finished piece.

    Raises
    ------
    Refused
        If the structure or the model can't be used.
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
    """The result of a piece, in the smallest integer and float types that fit."""

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
    """Find and predict the bonds of a piece. Runs on a worker."""
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
    # The order of `find`, with rounded distances: those of equivalent images differ by rounding errors here.
    order = np.lexsort((*translation.T[::-1], np.round(distance, 9), j, i))
    bonds = Bonds(i[order], j[order], translation[order], distance[order])
    return Prediction(bonds, bonds.types(symbols), column("strength")[order], column("deviation")[order])
