"""Which atoms a bond is between. Observations of bonds have a type and a length; the structure tells the rest.

A bond has the two atoms of its type whose distance is the bond's length. Where several pairs of atoms have the same distance,
as in a crystal, they are taken in the order of their atoms, and an atom before its images; such bonds are marked.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from server.cells.structure import Structure, Unreadable

DISTANCE = "distance"
"""The feature with the length of a bond, Å."""

LONGEST = 10.0
"""Longest bond that is looked for, Å."""

MOST_PAIRS = 2_000_000
SAME = 1e-6
"""Distances that differ by less are the same, Å."""

PRINTED, ROUNDED = 2e-5, 2e-3
"""Largest difference between a length that was printed with five decimals, or with three, and the structure's, Å."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms: atom ``i`` and the image of atom ``j`` that is ``shift`` lattice vectors away, shape (n, 3)."""

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class Placed:
    """The pair of atoms of each bond.

    Attributes
    ----------
    i, j
        Atoms, counted from 0; -1 where no pair of the structure fits.
    shift
        Lattice vectors by which atom ``j`` is moved, shape (n, 3).
    is_certain
        Whether no other pair fits as well.
    """

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    is_certain: np.ndarray


def pairs(structure: Structure, longest: float) -> Pairs:
    """Return each pair of atoms that are at most ``longest`` Å apart once, by i, then j, then distance, an atom before its images.

    Raises
    ------
    Unreadable
        If there would be more than :data:`MOST_PAIRS`.
    """
    lattice = structure.lattice
    fractions = structure.positions @ np.linalg.inv(lattice)
    moved = np.floor(fractions).astype(np.int64)
    inside = fractions - moved
    volume = abs(float(np.linalg.det(lattice)))
    heights = volume / np.linalg.norm(np.cross(lattice[[1, 2, 0]], lattice[[2, 0, 1]]), axis=1)
    size = len(structure)
    if size * size / volume * 4.2 * longest**3 / 2 > MOST_PAIRS:
        raise Unreadable(f"it has more than {MOST_PAIRS:,} pairs of atoms within {longest:.3g} Å")
    margin = longest / heights
    reach = np.ceil(margin).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 3)
    atoms, shifts = [], []
    for step in steps:
        there = inside + step
        near = np.flatnonzero(((there >= -margin - 1e-9) & (there <= 1 + margin + 1e-9)).all(axis=1))
        atoms.append(near)
        shifts.append(np.broadcast_to(step, (len(near), 3)))
    atom, shift = np.concatenate(atoms), np.concatenate(shifts)
    images = cKDTree((inside[atom] + shift) @ lattice)
    found = cKDTree(inside @ lattice).sparse_distance_matrix(images, longest, output_type="ndarray")
    i, j = found["i"], atom[found["j"]]
    between = shift[found["j"]] + moved[i] - moved[j]  # from the positions as they are in the file
    once = (i < j) | ((i == j) & _is_forward(between))
    i, j, between, distance = i[once], j[once], between[once], found["v"][once]
    order = np.lexsort((*between.T[::-1], np.abs(between).sum(axis=1), np.round(distance, 6), j, i))
    return Pairs(i[order], j[order], between[order], distance[order])


def _is_forward(shift: np.ndarray) -> np.ndarray:
    a, b, c = shift.T
    return (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))


def place(structure: Structure, kinds: Sequence[str], lengths: np.ndarray) -> Placed:
    """Return the atoms of each bond.

    Parameters
    ----------
    structure
        The structure.
    kinds
        Type of each bond, such as ``Zr-Cu``. A type that doesn't name two elements of the structure fits all pairs.
    lengths
        Length of each bond, Å, shape (n,); NaN where it is not known.

    Raises
    ------
    Unreadable
        As :func:`pairs`.
    """
    size = len(lengths)
    placed = Placed(np.full(size, -1), np.full(size, -1), np.zeros((size, 3), np.int64), np.zeros(size, bool))
    known = np.isfinite(lengths) & (lengths > 0) & (lengths <= LONGEST)
    if not known.any():
        return placed
    found = pairs(structure, float(lengths[known].max()) + ROUNDED)
    names = {name: code for code, name in enumerate(dict.fromkeys(structure.elements))}
    codes = np.array([names[element] for element in structure.elements])
    ends = np.sort(np.stack((codes[found.i], codes[found.j])), axis=0)
    by_kind: dict[str, list[int]] = defaultdict(list)
    for index in np.flatnonzero(known).tolist():
        by_kind[kinds[index]].append(index)
    for kind, indexes in by_kind.items():
        elements = [names.get(element) for element in kind.split("-")]
        if len(elements) == 2 and None not in elements:
            low, high = sorted(code for code in elements if code is not None)
            chosen = np.flatnonzero((ends[0] == low) & (ends[1] == high))
        else:
            chosen = np.arange(len(found.i))
        _match(placed, found, chosen, np.array(indexes), lengths)
    return placed


def _match(placed: Placed, found: Pairs, chosen: np.ndarray, bonds: np.ndarray, lengths: np.ndarray) -> None:
    """Give each bond a pair of its own: first at the same distance, then at the distance as it may have been rounded."""
    for tolerance in (SAME, PRINTED, ROUNDED):
        if not len(bonds) or not len(chosen):
            return
        chosen = chosen[np.lexsort((chosen, _groups(found.distance[chosen])))]
        bonds = bonds[np.lexsort((bonds, _groups(lengths[bonds])))]
        distances = found.distance[chosen]
        pair, taken, left = 0, np.zeros(len(chosen), bool), []
        by_distance = np.sort(distances)
        for bond in bonds.tolist():
            length = lengths[bond]
            while pair < len(chosen) and distances[pair] < length - tolerance:
                pair += 1
            if pair == len(chosen) or distances[pair] > length + tolerance:
                left.append(bond)
                continue
            index = chosen[pair]
            placed.i[bond], placed.j[bond], placed.shift[bond] = found.i[index], found.j[index], found.shift[index]
            near = np.searchsorted(by_distance, [length - tolerance, length + tolerance])
            placed.is_certain[bond] = near[1] - near[0] == 1
            taken[pair] = True
            pair += 1
        chosen, bonds = chosen[~taken], np.array(left, dtype=np.int64)


def _groups(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, the same for values that are the same."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.cumsum(np.diff(values[order], prepend=values[order[0]]) > SAME)
    return ranks
