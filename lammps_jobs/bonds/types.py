"""What a bond is: two atoms, how far apart, across which cell boundary, and how strong."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bond", "BondsError", "LabeledBond", "bond_type"]


class BondsError(Exception):
    """Something about a cell can't be used; the message names the file, the line where there is one, and the reason."""


@dataclass(frozen=True, slots=True)
class Bond:
    """One bond of a periodic structure.

    Attributes
    ----------
    i, j
        Its atoms, counted from 0, ``i <= j``.
    translation
        As LOBSTER prints it: three whole numbers of cell vectors by which *i* is shifted, so that
        ``distance == |r_j - (r_i + translation @ cell)|`` with the positions as they are in the structure's file.
    distance
        Å.
    """

    i: int
    j: int
    translation: tuple[int, int, int]
    distance: float


@dataclass(frozen=True, slots=True)
class LabeledBond(Bond):
    """A bond whose strength was calculated, as a label file has it.

    Attributes
    ----------
    elements
        Chemical symbols of *i* and *j* as the file names them, in the order of ``i, j``.
    icohp
        Integrated crystal orbital Hamilton population up to the Fermi level in eV, summed over spins; negative for
        a bond. The label that is learned is ``-icohp``.
    line
        Where in the file it stands, counted from 1; 0 where there is no file.
    """

    elements: tuple[str, str]
    icohp: float
    line: int = 0


def bond_type(a: str, b: str) -> str:
    """The name of the bond between two elements, the same either way round: ``Zr-Cu``, ``Cu-Al`` …

    The elements are in descending alphabetical order, as the types are written in Phys. Rev. Materials 4, 113603.

    Examples
    --------
    >>> bond_type("Cu", "Zr"), bond_type("Al", "Cu")
    ('Zr-Cu', 'Cu-Al')
    """
    return "-".join(sorted((a, b), reverse=True))
