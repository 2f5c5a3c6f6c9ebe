"""A labeled cell as observations: one a bond, all of a cell or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.matching import match
from lammps_jobs.bonds.neighbours import Bonds
from lammps_jobs.bonds.soap import DECIMALS, Descriptor
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["Cell", "described", "features", "observations", "of_bonds"]


@dataclass(frozen=True)
class Cell:
    """The bonds of one cell with all that is learned of them, in the label file's order.

    Attributes
    ----------
    bonds
        The structure's bonds, n of them.
    types
        ``Zr-Cu`` …, shape (n,).
    soap
        Half the sum of the two atoms' projected SOAP vectors, shape (n, P).
    strength
        -ICOHP in eV, shape (n,).
    """

    bonds: Bonds
    types: np.ndarray
    soap: np.ndarray
    strength: np.ndarray

    def __len__(self) -> int:
        return len(self.bonds)

    def observations(self) -> list[tuple[dict[str, Any], float]]:
        """``(x, y)`` a bond, as they are posted: plain numbers, ``y`` in eV."""
        return list(zip(features(self.types, self.bonds.distance, self.soap), self.strength.tolist(), strict=True))


def described(
    structure: Atoms,
    labeled: Sequence[LabeledBond],
    descriptor: Descriptor,
    name: str,
    structure_name: str | None = None,
) -> Cell:
    """A labeled cell, described, or a reason why it can't be.

    Parameters
    ----------
    structure
        Of the calculation.
    labeled
        What its label file holds.
    descriptor
        How surroundings are described.
    name, structure_name
        Of the label file and of the structure's, for messages.

    Raises
    ------
    Refused
        If anything at all is wrong with the structure or one bond; the message says where and why.
    """
    try:
        # Before its labels, as what is wrong with a structure explains what is wrong with its labels.
        atoms = descriptor.atoms(structure)
    except Refused as refused:
        raise Refused(refused.reason, refused.path or structure_name, refused.line) from None
    bonds = match(structure, labeled, name)
    strength = -np.array([bond.icohp for bond in labeled], dtype=float)
    bad = ~np.isfinite(strength)
    if bad.any():
        bond = labeled[int(bad.argmax())]
        raise Refused(f"the ICOHP is {bond.icohp}: expected a number of eV", name, bond.line or None)
    return Cell(bonds, bonds.types(structure.get_chemical_symbols()), of_bonds(atoms, bonds), strength)


def observations(
    structure: Atoms, labeled: Sequence[LabeledBond], descriptor: Descriptor, name: str
) -> list[tuple[dict[str, Any], float]]:
    """What `described` gives, as ``(x, y)`` a bond."""
    return described(structure, labeled, descriptor, name).observations()


def of_bonds(atoms: np.ndarray, bonds: Bonds) -> np.ndarray:
    """Half the sum of the vectors of each bond's atoms, shape (n, P), from those of all atoms, shape (atoms, P)."""
    # One decimal more holds a half of the last one: nothing is lost, and the number prints short.
    return np.round(0.5 * (atoms[bonds.i] + atoms[bonds.j]), DECIMALS + 1)


def features(types: np.ndarray, distance: np.ndarray, soap: np.ndarray) -> list[dict[str, Any]]:
    """The features of each bond by name: ``bond``, ``distance`` (Å), ``s0``, ``s1`` …"""
    names = ["bond", "distance", *(f"s{number}" for number in range(soap.shape[1]))]
    rows = zip(types.tolist(), distance.tolist(), soap.tolist(), strict=True)
    return [dict(zip(names, (kind, length, *numbers), strict=True)) for kind, length, numbers in rows]
