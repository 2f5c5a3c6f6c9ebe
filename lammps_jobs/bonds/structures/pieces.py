"""Cuts a large periodic cell into pieces of a few thousand atoms, each with the environment of its atoms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.structures.neighbours import require_periodic
from lammps_jobs.bonds.structures.spacing import widths

__all__ = ["Piece", "Pieces"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some atoms of a large cell, followed by the atoms around them. A piece has no cell and no periodic images.

    Attributes
    ----------
    positions
        Positions, Å, shape (m, 3): first the piece's own atoms, then those around them.
    numbers
        Atomic numbers, shape (m,).
    atom
        Index of each atom in the large cell, from 0, shape (m,). Images have the index of their atom.
    image
        Shift of each atom from its position in the large cell's file, in cell vectors, shape (m, 3).
    own
        Number of the piece's own atoms. Every atom of the large cell belongs to exactly one piece.
    """

    positions: np.ndarray
    numbers: np.ndarray
    atom: np.ndarray
    image: np.ndarray
    own: int


class Pieces:
    """The pieces of a cell. An iterator makes one after the other.

    The cell is divided by a grid along its vectors. The atoms around a piece are taken from the boxes around its own
    box, so the total time is proportional to the number of atoms.

    Parameters
    ----------
    structure
        Periodic. Positions may be outside the cell.
    reach
        Distance from its own atoms up to which a piece contains other atoms, Å.
    size
        Approximate number of own atoms of a piece, if atoms are evenly distributed.

    Raises
    ------
    Refused
        If the structure is not periodic.
    """

    def __init__(self, structure: Atoms, reach: float, size: int) -> None:
        require_periodic(structure)
        if size < 1:
            raise ValueError(f"a piece has at least one atom, got size={size!r}")
        self._cell = structure.cell.array
        self._numbers = structure.numbers
        scaled = np.linalg.solve(self._cell.T, structure.positions.T).T
        outside = np.floor(scaled)
        self._inside = scaled - outside
        self._image = -outside.astype(np.int64)
        heights = widths(structure)
        edge = np.cbrt(abs(np.linalg.det(self._cell)) * size / max(1, len(structure)))
        self._grid = np.maximum(1, np.round(heights / edge)).astype(np.int64)
        self._margin = reach / heights
        # A position just below 0 is rounded to 1.0: it belongs to the last box.
        places = np.minimum((self._inside * self._grid).astype(np.int64), self._grid - 1)
        box = np.ravel_multi_index(tuple(places.T), tuple(self._grid))
        self._order = np.argsort(box, kind="stable")
        self._starts = np.searchsorted(box[self._order], np.arange(self._grid.prod() + 1))

    def __len__(self) -> int:
        """Number of pieces. Boxes without atoms don't count."""
        return int(np.count_nonzero(np.diff(self._starts)))

    def __iter__(self) -> Iterator[Piece]:
        for place in np.ndindex(*(int(count) for count in self._grid)):
            own = self._in_box(np.array(place))
            if len(own):
                yield self._piece(np.array(place), own)

    def _in_box(self, place: np.ndarray) -> np.ndarray:
        number = int(np.ravel_multi_index(tuple(place), tuple(self._grid)))
        return self._order[self._starts[number] : self._starts[number + 1]]

    def _piece(self, place: np.ndarray, own: np.ndarray) -> Piece:
        low, high = place / self._grid - self._margin, (place + 1) / self._grid + self._margin
        away = np.ceil(self._margin * self._grid).astype(int)
        atoms, shifts = [own], [np.zeros((len(own), 3), dtype=np.int64)]
        for step in itertools.product(*(range(-n, n + 1) for n in away)):
            if any(step):
                # Beyond the cell's faces there are images of its atoms.
                shift, box = np.divmod(place + step, self._grid)
                around = self._in_box(box)
                where = self._inside[around] + shift
                around = around[np.all((where > low) & (where < high), axis=1)]
                atoms.append(around)
                shifts.append(np.broadcast_to(shift, (len(around), 3)))
        atom, shift = np.concatenate(atoms), np.concatenate(shifts)
        positions = (self._inside[atom] + shift) @ self._cell
        return Piece(positions, self._numbers[atom], atom, self._image[atom] + shift, len(own))
