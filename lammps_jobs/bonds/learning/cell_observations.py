"""Observations of a labeled cell: one for each bond. If one bond is refused, the whole cell is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.descriptors.soap import DECIMALS, Descriptor
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.matching import match
from lammps_jobs.bonds.structures.neighbours import Bonds
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["Cell", "described", "features", "observations", "of_bonds"]


@dataclass(frozen=True)
class Cell:
    """The bonds of one cell with their features and labels, in the label file's order.

    Attributes
    ----------
    bonds
        The n bonds.
    types
        Types such as ``Zr-Cu``, shape (n,).
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
        """Return ``(x, y)`` of each bond for posting: plain numbers, ``y`` in eV."""
        return list(zip(features(self.types, self.bonds.distance, self.soap), self.strength.tolist(), strict=True))


def described(
    structure: Atoms,
    labeled: Sequence[LabeledBond],
    descriptor: Descriptor,
    name: str,
    structure_name: str | None = None,
) -> Cell:
    """Return a labeled cell with the descriptors of its bonds.

    Parameters
    ----------
    structure
        Structure of the calculation.
    labeled
        Content of its label file.
    descriptor
        Computes the descriptors of the atoms.
    name, structure_name
        Names of the label file and the structure file, for messages.

    Raises
    ------
    Refused
        If anything is wrong with the structure or a bond. The message says where and why.
    """
    try:
        # Check the structure before its labels, because errors of the structure explain those of the labels.
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
    """Return the result of `described` as ``(x, y)`` of each bond."""
    return described(structure, labeled, descriptor, name).observations()


def of_bonds(atoms: np.ndarray, bonds: Bonds) -> np.ndarray:
    """Return half the sum of the vectors of each bond's atoms, shape (n, P). `atoms` has shape (atoms, P)."""
    # Half of a number with n decimals has n + 1 decimals: rounding loses nothing and keeps the printed number short.
    return np.round(0.5 * (atoms[bonds.i] + atoms[bonds.j]), DECIMALS + 1)


def features(types: np.ndarray, distance: np.ndarray, soap: np.ndarray) -> list[dict[str, Any]]:
    """Return the features of each bond by name: ``bond``, ``distance`` (Å), ``s0``, ``s1`` …"""
    names = ["bond", "distance", *(f"s{number}" for number in range(soap.shape[1]))]
    rows = zip(types.tolist(), distance.tolist(), soap.tolist(), strict=True)
    return [dict(zip(names, (kind, length, *numbers), strict=True)) for kind, length, numbers in rows]
