"""Bonds of one piece of a large cell, with the same descriptors as those of a labeled cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from scipy.spatial import cKDTree

from lammps_jobs.bonds.descriptors.soap import Descriptor
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.learning.cell_observations import of_bonds
from lammps_jobs.bonds.structures.neighbours import Bonds, forward
from lammps_jobs.bonds.structures.pieces import Piece

__all__ = ["Survey", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """The bonds that belong to a piece. Each bond of the large cell belongs to exactly one piece.

    Attributes
    ----------
    bonds
        The n bonds, with the numbers of the large cell's atoms, in no particular order.
    types
        Types such as ``Zr-Cu``, shape (n,).
    soap
        Half the sum of the two atoms' projected vectors, shape (n, P).
    """

    bonds: Bonds
    types: np.ndarray
    soap: np.ndarray


def survey(piece: Piece, descriptor: Descriptor, shortest: float, longest: float) -> Survey:
    """Return the bonds whose first atom, `i`, belongs to the piece. They equal those of `find` for the large cell.

    The piece must extend `longest` plus the descriptor's `reach` beyond its own atoms.

    Raises
    ------
    Refused
        If an own atom has no neighbour within the descriptor's cutoff.
    """
    first, second, distance = _pairs(piece, max(longest, descriptor.definition.r_cut))
    _check_neighbours(piece, descriptor, first, distance)
    i, j = piece.atom[first], piece.atom[second]
    translation = piece.image[first] - piece.image[second]
    chosen = (distance >= shortest) & (distance <= longest) & ((i < j) | ((i == j) & forward(translation)))
    bonds = Bonds(i[chosen], j[chosen], translation[chosen], distance[chosen])
    # All images of an atom have the same vector: each atom is described once.
    atoms, places = np.unique(np.concatenate((bonds.i, bonds.j)), return_inverse=True)
    centres = np.empty(len(atoms), dtype=np.int64)
    centres[places] = np.concatenate((first[chosen], second[chosen]))
    vectors = descriptor.atoms_at(_block(piece), centres)
    half = len(bonds)
    local = Bonds(places[:half], places[half:], bonds.translation, bonds.distance)
    symbols = np.array(chemical_symbols)[piece.numbers[centres]]
    return Survey(bonds, local.types(symbols), of_bonds(vectors, local))


def _pairs(piece: Piece, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return own atoms, atoms within `limit` of them, and the distances in Å.

    A pair of two own atoms appears in both orders.
    """
    own = piece.positions[: piece.own]
    near = np.all((piece.positions >= own.min(axis=0) - limit) & (piece.positions <= own.max(axis=0) + limit), axis=1)
    where = np.flatnonzero(near)
    found = cKDTree(own).sparse_distance_matrix(cKDTree(piece.positions[where]), limit, output_type="ndarray")
    first, second = found["i"], where[found["j"]]
    other = first != second
    first, second = first[other], second[other]
    return first, second, np.linalg.norm(piece.positions[second] - piece.positions[first], axis=1)


def _check_neighbours(piece: Piece, descriptor: Descriptor, first: np.ndarray, distance: np.ndarray) -> None:
    company = np.zeros(piece.own, dtype=bool)
    company[first[distance <= descriptor.definition.r_cut]] = True
    if not company.all():
        alone = int(np.argmin(company))
        raise Refused(descriptor.no_neighbour_message(int(piece.atom[alone]), chemical_symbols[piece.numbers[alone]]))


def _block(piece: Piece) -> Atoms:
    # DScribe requires a cell, but ignores it if nothing is periodic.
    return Atoms(piece.numbers, piece.positions, cell=np.eye(3), pbc=False)
