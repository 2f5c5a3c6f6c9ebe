"""Crystalline order of a cell: the share of solid-like atoms of ten Wolde, Ruiz-Montero and Frenkel.

The neighbours of an atom have directions, and its vector q6 describes these (Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784
(1983)). In a crystal the vectors of neighbouring atoms are alike. An atom is solid-like if the normalised product of its vector and a
neighbour's exceeds 0.5 for more than 7 neighbours (P. R. ten Wolde, M. J. Ruiz-Montero and D. Frenkel, J. Chem. Phys. 104, 9932
(1996)). A glass has few such atoms.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

__all__ = ["MOST_CRYSTALLINE", "crystalline_share"]

NEIGHBOURS = 12
ALIKE, LEAST_ALIKE = 0.5, 8
MOST_CRYSTALLINE = 0.5
"""Share of solid-like atoms above which a cell is not a glass."""
LEAST_ATOMS = 50
"""Fewer atoms are each other's neighbours through the boundary, whatever their order."""
SAMPLE = 1000
"""Atoms of a larger cell that are looked at, evenly chosen."""
_P6 = np.polynomial.legendre.Legendre.basis(6)


def crystalline_share(cell: Atoms) -> float | None:
    """Return the share of solid-like atoms of a periodic cell with right angles; None if it has fewer than 50 atoms.

    Scalar products of q6 vectors are computed with the addition theorem of spherical harmonics: as sums of the Legendre polynomial P6
    of the angles between all neighbours of one atom and all of the other.
    """
    if len(cell) < LEAST_ATOMS:
        return None
    lengths = cell.cell.lengths()
    positions = cell.get_scaled_positions() % 1.0 * lengths
    tree = cKDTree(positions, boxsize=lengths)
    centres = np.unique(np.linspace(0, len(cell) - 1, min(SAMPLE, len(cell))).astype(int))
    near = tree.query(positions[centres], NEIGHBOURS + 1)[1][:, 1:]
    needed, places = np.unique(near, return_inverse=True)
    own = _directions(positions, lengths, centres, near)
    others = _directions(positions, lengths, needed, tree.query(positions[needed], NEIGHBOURS + 1)[1][:, 1:])
    own_norm, other_norm = (np.sqrt(_product(some, some)) for some in (own, others))
    alike = np.zeros(len(centres), dtype=int)
    for column in places.reshape(near.shape).T:
        alike += _product(own, others[column]) > ALIKE * own_norm * other_norm[column]
    return float((alike >= LEAST_ALIKE).mean())


def _directions(positions: np.ndarray, lengths: np.ndarray, atoms: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return unit vectors from n atoms to their neighbours, shape (n, 12, 3)."""
    between = positions[near] - positions[atoms][:, None, :]
    between -= np.round(between / lengths) * lengths
    return np.asarray(between / np.linalg.norm(between, axis=2, keepdims=True))


def _product(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the scalar product of each two q6 vectors but for a factor, shape (n,)."""
    return np.asarray(_P6(np.clip(some @ others.transpose(0, 2, 1), -1.0, 1.0)).sum(axis=(1, 2)))
