"""A large periodic cell cut into pieces of a few thousand atoms, each with all that its atoms see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.neighbours import require_periodic
from lammps_jobs.bonds.spacing import widths

__all__ = ["Piece", "Pieces"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some atoms of a large cell, and before them as many of their surroundings as they see: no cell, no images.

    Attributes
    ----------
    positions
        Å, shape (m, 3). The piece's own atoms come first, those around them after.
    numbers
        Atomic numbers, shape (m,).
    atom
        Which atom of the large cell each one is, or is an image of, counted from 0, shape (m,).
    image
        By how many cells each one lies from where the large cell's file has it, shape (m, 3).
    own
        How many atoms are the piece's own. Every atom of the large cell is one piece's own.
    """

    positions: np.ndarray
    numbers: np.ndarray
    atom: np.ndarray
    image: np.ndarray
    own: int


class Pieces:
    """The pieces of a cell; iterating makes them one after the other, each when it is asked for.

    The cell is divided by a grid along its vectors, and a piece's surroundings are gathered from the boxes around its
    own, so that all pieces together take time in proportion to the atoms.

    Parameters
    ----------
    structure
        Periodic; positions inside the cell or not.
    reach
        How far around its own atoms a piece must go, Å.
    size
        About how many atoms are a piece's own, where they are evenly spread.

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
        # A position just below 0 becomes 1.0 by rounding: it belongs to the last box.
        places = np.minimum((self._inside * self._grid).astype(np.int64), self._grid - 1)
        box = np.ravel_multi_index(tuple(places.T), tuple(self._grid))
        self._order = np.argsort(box, kind="stable")
        self._starts = np.searchsorted(box[self._order], np.arange(self._grid.prod() + 1))

    def __len__(self) -> int:
        """How many there are; boxes without atoms are none."""
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
                # Beyond the cell's faces it goes on with an image of the cell.
                shift, box = np.divmod(place + step, self._grid)
                around = self._in_box(box)
                where = self._inside[around] + shift
                around = around[np.all((where > low) & (where < high), axis=1)]
                atoms.append(around)
                shifts.append(np.broadcast_to(shift, (len(around), 3)))
        atom, shift = np.concatenate(atoms), np.concatenate(shifts)
        positions = (self._inside[atom] + shift) @ self._cell
        return Piece(positions, self._numbers[atom], atom, self._image[atom] + shift, len(own))
