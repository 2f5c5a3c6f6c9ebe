"""Bonds of a periodic structure: all pairs of atoms between a shortest and a longest distance."""

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
"""Shortest and longest bond, Å, as in Phys. Rev. Materials 4, 113603."""


@dataclass(frozen=True, slots=True)
class Bonds:
    """Bonds as arrays. An index returns one `Bond`.

    Attributes
    ----------
    i, j
        Atoms, counted from 0, each of shape (n,); ``i <= j``.
    translation
        Translations as in `Bond`, shape (n, 3).
    distance
        Lengths, Å, shape (n,).
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
        """Return some of the bonds, chosen by indices or by a mask, in that order."""
        return Bonds(self.i[chosen], self.j[chosen], self.translation[chosen], self.distance[chosen])

    def types(self, symbols: Sequence[str]) -> np.ndarray:
        """Return the type of each bond, such as ``Zr-Cu``, shape (n,). `symbols` are the elements of all atoms."""
        elements, codes = np.unique(np.asarray(symbols, dtype=str), return_inverse=True)
        names = np.array([[bond_type(str(a), str(b)) for b in elements] for a in elements], dtype=str)
        return names[codes[self.i], codes[self.j]] if len(elements) else np.empty(0, dtype=str)


def find(structure: Atoms, shortest: float = SHORTEST, longest: float = LONGEST) -> Bonds:
    """Return every bond of a structure once, ordered by i, then j, then length.

    Periodic images are neighbours like other atoms. In a cell smaller than twice `longest`, an atom can be bonded to
    several images of another one, and to images of itself. A bond between an atom and its own image is found in two
    directions. The one whose first non-zero translation is positive is returned.

    Parameters
    ----------
    structure
        Periodic in all three directions. Positions in Å may be outside the cell.
    shortest, longest
        Shortest and longest bond, Å, both included.

    Raises
    ------
    Refused
        If the structure is not periodic, or its cell or a position is invalid.
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
    # The translation decides the order of images at the same distance.
    order = np.lexsort((*translation.T[::-1], distance, j, i))
    return Bonds(i[order].astype(np.int64), j[order].astype(np.int64), translation[order], distance[order])


def canonical(i: np.ndarray, j: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the bonds in the direction in which `find` returns them, so that equal bonds become equal arrays."""
    swap = (i > j) | ((i == j) & ~forward(translation))
    return np.where(swap, j, i), np.where(swap, i, j), np.where(swap[:, None], -translation, translation)


def require_periodic(structure: Atoms) -> None:
    """Refuse a structure that is not periodic in three directions, or has a flat cell or a position that is not finite.

    Raises
    ------
    Refused
        With the reason. The caller adds the file.
    """
    if not structure.pbc.all():
        axes = ", ".join(axis for axis, periodic in zip("abc", structure.pbc, strict=True) if not periodic)
        raise Refused(f"the structure is not periodic along {axes}: expected a bulk cell, periodic in a, b and c")
    cell: Any = structure.cell.array
    if not np.isfinite(cell).all() or not abs(np.linalg.det(cell)) > 1e-6:
        raise Refused(f"the cell has no volume: its vectors are {cell.tolist()} Å")
    bad = ~np.isfinite(structure.positions).all(axis=1)
    if bad.any():
        atom = int(bad.argmax())
        raise Refused(f"atom {atom + 1} has the position {structure.positions[atom].tolist()}: expected numbers in Å")


def forward(translation: np.ndarray) -> np.ndarray:
    """Return whether the first non-zero component of each translation is positive, shape (n,).

    False if all are zero.
    """
    a, b, c = translation.T
    return (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
