"""The closest pair of atoms in a periodic structure, in seconds for a million atoms."""

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

__all__ = ["closest_pair", "widths"]


def widths(atoms: Atoms) -> np.ndarray:
    """Return the distances between the cell's three pairs of opposite faces, in Å; shape (3,)."""
    return 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)


def closest_pair(atoms: Atoms, limit: float) -> tuple[int, int, float] | None:
    """Return the two closest atoms if their distance is at most `limit`. Periodic images count.

    Parameters
    ----------
    atoms
        Periodic in all directions, with a cell that is wider than `limit` (see `widths`).
    limit
        Largest distance, Å.

    Returns
    -------
    tuple or None
        Indices of the two atoms, the smaller first, and their distance in Å; None if there is no such pair.
    """
    inside = np.linalg.solve(atoms.cell.array.T, atoms.positions.T).T % 1.0
    margin = limit / widths(atoms)
    places, owners = [inside], [np.arange(len(atoms))]
    for shift in itertools.product((-1, 0, 1), repeat=3):
        if any(shift):
            image = inside + shift
            near = np.all((image > -margin) & (image < 1.0 + margin), axis=1)
            places.append(image[near])
            owners.append(np.flatnonzero(near))
    points, owner = np.concatenate(places) @ atoms.cell.array, np.concatenate(owners)
    pairs = cKDTree(points).query_pairs(limit, output_type="ndarray")
    pairs = pairs[pairs.min(axis=1) < len(atoms)]
    if len(pairs) == 0:
        return None
    distances = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    nearest = int(np.argmin(distances))
    i, j = sorted(int(k) for k in owner[pairs[nearest]])
    return i, j, float(distances[nearest])
