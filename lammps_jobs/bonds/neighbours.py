"""All bonds of a periodic structure within two cutoffs, and which of them a label file names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.types import Bond, bond_type

__all__ = ["LONGEST", "SHORTEST", "Bonds", "canonical", "find", "forward", "require_periodic"]

SHORTEST, LONGEST = 1.80, 4.20
"""Lengths in Å between which two atoms count as bonded, as in Phys. Rev. Materials 4, 113603."""


@dataclass(frozen=True, slots=True)
class Bonds:
    """Bonds as columns; indexing gives one `Bond`.

    Attributes
    ----------
    i, j
        Atoms, counted from 0, each of shape (n,); ``i <= j``.
    translation
        As in `Bond`, shape (n, 3).
    distance
        Å, shape (n,).
    """

    i: np.ndarray
    j: np.ndarray
    translation: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.i)

    def __getitem__(self, index: int) -> Bond:
        a, b, c = (int(shift) for shift in self.translation[index])
        return Bond(int(self.i[index]), int(self.j[index]), (a, b, c), float(self.distance[index]))

    def __iter__(self) -> Iterator[Bond]:
        return (self[index] for index in range(len(self)))

    def take(self, chosen: np.ndarray) -> Bonds:
        """Those at the given positions, or where the given mask is true, in that order."""
        return Bonds(self.i[chosen], self.j[chosen], self.translation[chosen], self.distance[chosen])

    def types(self, symbols: Sequence[str]) -> np.ndarray:
        """The type of each bond, such as ``Zr-Cu``, shape (n,); `symbols` are the elements of all atoms."""
        elements, codes = np.unique(np.asarray(symbols, dtype=str), return_inverse=True)
        names = np.array([[bond_type(str(a), str(b)) for b in elements] for a in elements], dtype=str)
        return names[codes[self.i], codes[self.j]] if len(elements) else np.empty(0, dtype=str)


def find(structure: Atoms, shortest: float = SHORTEST, longest: float = LONGEST) -> Bonds:
    """Every bond of a structure, once, ordered by i, then j, then length.

    Periodic images count as they are: in a cell smaller than twice `longest`, an atom can be bonded to several
    images of another one, and to images of itself. Of a bond between an atom and its own image, which is found in two
    directions, the one whose first non-zero translation is positive is kept.

    Parameters
    ----------
    structure
        Periodic in all three directions; positions in Å, inside the cell or not.
    shortest, longest
        Lengths in Å that count as bonds, both included.

    Raises
    ------
    Refused
        If the structure is not periodic, or its cell or a position is no use.
    """
    if not 0 <= shortest < longest < np.inf:
        raise ValueError(f"expected 0 <= shortest < longest, got {shortest!r} and {longest!r} Å")
    require_periodic(structure)
    if not len(structure):
        empty = np.empty(0, dtype=np.int64)
        return Bonds(empty, empty, np.empty((0, 3), dtype=np.int64), np.empty(0))
    i, j, distance, shift = neighbor_list("ijdS", structure, np.nextafter(longest, np.inf))
    translation = -np.asarray(shift, dtype=np.int64)
    once = (i < j) | ((i == j) & forward(translation))
    once &= (distance >= shortest) & (distance <= longest)
    i, j, translation, distance = i[once], j[once], translation[once], distance[once]
    # Images at the same distance have no order of their own: their translation decides.
    order = np.lexsort((*translation.T[::-1], distance, j, i))
    return Bonds(i[order].astype(np.int64), j[order].astype(np.int64), translation[order], distance[order])


def canonical(i: np.ndarray, j: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same bonds, each the way round that `find` gives it: two that are the same bond become equal."""
    swap = (i > j) | ((i == j) & ~forward(translation))
    return np.where(swap, j, i), np.where(swap, i, j), np.where(swap[:, None], -translation, translation)


def require_periodic(structure: Atoms) -> None:
    """Refuse a structure without three periodic directions that span a volume, or with a position that is no number.

    Raises
    ------
    Refused
        With the reason; the caller knows the file.
    """
    if not structure.pbc.all():
        axes = ", ".join(axis for axis, periodic in zip("abc", structure.pbc, strict=True) if not periodic)
        raise Refused(f"the structure is not periodic along {axes}: only bulk cells, periodic in a, b and c, are used")
    cell: Any = structure.cell.array
    if not np.isfinite(cell).all() or not abs(np.linalg.det(cell)) > 1e-6:
        raise Refused(f"the cell spans no volume: its vectors are {cell.tolist()} Å")
    bad = ~np.isfinite(structure.positions).all(axis=1)
    if bad.any():
        atom = int(bad.argmax())
        raise Refused(f"atom {atom + 1} has the position {structure.positions[atom].tolist()}: expected numbers in Å")


def forward(translation: np.ndarray) -> np.ndarray:
    """Whether the first component of each translation that isn't zero is positive, shape (n,); false for none."""
    a, b, c = translation.T
    return (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
