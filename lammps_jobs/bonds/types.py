"""`Bond`, `LabeledBond`, names of bond types, and the base class of errors."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bond", "BondsError", "LabeledBond", "bond_type"]


class BondsError(Exception):
    """A cell can't be used. The message names the file, the line if there is one, and the reason."""


@dataclass(frozen=True, slots=True)
class Bond:
    """One bond of a periodic structure.

    Attributes
    ----------
    i, j
        Its atoms, counted from 0, ``i <= j``.
    translation
        Shift of *i*, in cell vectors, as LOBSTER prints it: three integers with
        ``distance == |r_j - (r_i + translation @ cell)|`` for the positions in the structure's file.
    distance
        Length, Å.
    """

    i: int
    j: int
    translation: tuple[int, int, int]
    distance: float


@dataclass(frozen=True, slots=True)
class LabeledBond(Bond):
    """A bond from a label file, with its calculated strength.

    Attributes
    ----------
    elements
        Chemical symbols of *i* and *j* in the file, in the order of ``i, j``.
    icohp
        Integrated crystal orbital Hamilton population up to the Fermi level in eV, summed over spins. It is negative
        for a bond. Models learn ``-icohp``.
    line
        Line in the file, counted from 1; 0 if there is no file.
    """

    elements: tuple[str, str]
    icohp: float
    line: int = 0


def bond_type(a: str, b: str) -> str:
    """Return the type of a bond between two elements, such as ``Zr-Cu``. It doesn't depend on their order.

    The elements are in descending alphabetical order, as in Phys. Rev. Materials 4, 113603.

    Examples
    --------
    >>> bond_type("Cu", "Zr"), bond_type("Al", "Cu")
    ('Zr-Cu', 'Cu-Al')
    """
    return "-".join(sorted((a, b), reverse=True))
