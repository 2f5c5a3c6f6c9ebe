"""Matches the bonds of a label file with those of the structure, and checks that none is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.structures.neighbours import Bonds, canonical, find, require_periodic
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["TOLERANCE", "match"]

TOLERANCE = 1e-3
"""Largest difference between a printed distance and the structure's, Å.

Both are rounded; the reference cells differ by 1.3e-5.
"""


def match(structure: Atoms, labeled: Sequence[LabeledBond], name: str, *, complete: bool = True) -> Bonds:
    """Return the structure's bond for each labeled one, in the file's order, with distances from the positions.

    LOBSTER's translation shifts the first atom (see `Bond`). A file that shifts the second one instead is accepted,
    too, if it does so for all bonds.

    Parameters
    ----------
    structure
        The structure of the calculation, with its order of atoms.
    labeled
        Content of the label file.
    name
        Name of the label file, for messages.
    complete
        Whether to refuse a file with missing bonds. For each type in the file, it must list all bonds between the
        shortest and the longest of that type.

    Raises
    ------
    Refused
        With file and line, if an atom is not in the structure or is another element there, a distance differs, a bond
        is listed twice (also from its other end, or shifted by a translation), or a bond is missing.
    """
    require_periodic(structure)
    if not labeled:
        raise Refused("no bonds are listed", name)
    i = np.array([bond.i for bond in labeled], dtype=np.int64)
    j = np.array([bond.j for bond in labeled], dtype=np.int64)
    translation = np.array([bond.translation for bond in labeled], dtype=np.int64).reshape(-1, 3)
    _same_atoms(structure, labeled, name)
    translation, distance = _measured(structure, labeled, i, j, translation, name)
    bonds = Bonds(*canonical(i, j, translation), distance)
    _each_once(bonds, labeled, name)
    if complete:
        _all_there(structure, bonds, name)
    return bonds


def _same_atoms(structure: Atoms, labeled: Sequence[LabeledBond], name: str) -> None:
    symbols = structure.get_chemical_symbols()
    for bond in labeled:
        for atom, element in zip((bond.i, bond.j), bond.elements, strict=True):
            if not 0 <= atom < len(symbols):
                raise Refused(
                    f"atom {element}{atom + 1}, but the structure has {len(symbols)} atoms", name, bond.line or None
                )
            if symbols[atom] != element:
                raise Refused(
                    f"atom {atom + 1} is {element} here and {symbols[atom]} in the structure: "
                    "the files are from different calculations, or their atoms are in a different order",
                    name,
                    bond.line or None,
                )
        if bond.i == bond.j and not any(bond.translation):
            raise Refused(f"atom {bond.elements[0]}{bond.i + 1} is bonded to itself", name, bond.line or None)


def _measured(
    structure: Atoms, labeled: Sequence[LabeledBond], i: np.ndarray, j: np.ndarray, translation: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return LOBSTER's translations, and the distances in Å from the positions."""
    stated = np.array([bond.distance for bond in labeled], dtype=float)
    between = structure.positions[j] - structure.positions[i]
    tries = []
    for sign in (1, -1):
        distance = np.linalg.norm(between - sign * translation @ structure.cell.array, axis=1)
        differs = ~(np.abs(distance - stated) <= TOLERANCE)
        tries.append((int(differs.sum()), sign, distance, differs))
    count, sign, distance, differs = min(tries, key=lambda one: one[0])
    if count:
        first = int(differs.argmax())
        bond = labeled[first]
        raise Refused(
            f"{_named(bond)} is {bond.distance:.5f} Å long here and {distance[first]:.5f} Å in the "
            f"structure ({count} of {len(labeled)} bonds differ by more than {TOLERANCE} Å): "
            "the files are from different calculations",
            name,
            bond.line or None,
        )
    return sign * translation, distance


def _each_once(bonds: Bonds, labeled: Sequence[LabeledBond], name: str) -> None:
    seen: dict[tuple[int, ...], LabeledBond] = {}
    keys = np.column_stack((bonds.i, bonds.j, bonds.translation)).tolist()
    for key, bond in zip(map(tuple, keys), labeled, strict=True):
        first = seen.setdefault(key, bond)
        if first is not bond:
            again = f"{_named(bond)} is the bond of line {first.line}, {_named(first)}, again: listed twice"
            raise Refused(again, name, bond.line or None)


def _all_there(structure: Atoms, bonds: Bonds, name: str) -> None:
    symbols = structure.get_chemical_symbols()
    expected = find(structure, max(0.0, bonds.distance.min() - TOLERANCE), bonds.distance.max() + TOLERANCE)
    types, expected_types = bonds.types(symbols), expected.types(symbols)
    listed = set(map(tuple, np.column_stack((bonds.i, bonds.j, bonds.translation)).tolist()))
    for kind in np.unique(types):
        own = bonds.distance[types == kind]
        # Bonds at the cutoffs are left out of this check, because rounding decides whether they are listed.
        there = (expected.distance > own.min() + TOLERANCE) & (expected.distance < own.max() - TOLERANCE)
        for bond in expected.take(there & (expected_types == kind)):
            if (bond.i, bond.j, *bond.translation) not in listed:
                raise Refused(
                    f"{symbols[bond.i]}{bond.i + 1} {symbols[bond.j]}{bond.j + 1} "
                    f"{' '.join(map(str, bond.translation))}, {bond.distance:.5f} Å, is missing, although shorter and "
                    f"longer {kind} bonds are listed: is the file complete?",
                    name,
                )


def _named(bond: LabeledBond) -> str:
    a, b = (f"{element}{atom + 1}" for element, atom in zip(bond.elements, (bond.i, bond.j), strict=True))
    return f"{a} {b} {' '.join(map(str, bond.translation))}"
