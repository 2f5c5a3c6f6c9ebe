"""Reading and writing ``ICOHPLIST.lobster``: one bond a line, with its energy at the Fermi level.

Four ways to lay out the same numbers are read, which cover LOBSTER 3.0 to 5.1:

- one block of eight columns (not spin-polarised, any version);
- two blocks of eight columns under headers of their own, ``for spin 1`` and ``for spin 2`` (3.0 to 5.0);
- one block of nine columns under a header of two lines, one energy for each spin (5.1);
- each of these with rows for pairs of orbitals (``Cu1_4s``) after a bond's own row, which are passed over.

Not through pymatgen (``Icohplist``, 2026.10) or lobsterpy, which reads through it, since they don't refuse what is
broken. A row that breaks off inside its last number is read as the number that is left, a row that is missing in the
middle goes unnoticed, as does a bond that is listed twice or an energy that is not a number; of two spin
blocks of which the second breaks off, it takes the header for a row (``IndexError``, ``ValueError``, no line) or
pairs rows of different bonds. The tests hold this reader against pymatgen where both read a file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.icohplist_reader import Reader
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["HEADER", "LabeledBond", "read", "row", "write"]

HEADER = "  COHP#  atomMU  atomNU     distance     translation      ICOHP (at) eF   for spin  1\n"
"""The first line of a file of LOBSTER 3.0 to 5.1 that is not spin-polarised."""

_ROW = "%7d %7s %7s %12.5f %7d %3d %3d %18.5f \n"


def write(path: str | os.PathLike[str], bonds: Iterable[LabeledBond]) -> int:
    """Write bonds as LOBSTER 3.0 does without spin polarisation; what LOBSTER's own tools read.

    Whoever reads sees the whole file or none: it gets its name once it is complete. Bonds are taken one at a time,
    so that there may be more of them than memory holds.

    Parameters
    ----------
    path
        The file, replaced if it is there.
    bonds
        In the order of the file. Distances (Å) and energies (eV) are rounded to five decimals.

    Returns
    -------
    int
        How many there were.

    Raises
    ------
    Refused
        If there are none, or one's energy or distance is no number. The file is then as it was.
    OSError
        If it can't be written.
    """
    unfinished = f"{os.fspath(path)}.unfinished"
    number = 0
    try:
        with open(unfinished, "w", encoding="ascii", newline="\n") as file:
            file.write(HEADER)
            for number, bond in enumerate(bonds, start=1):
                file.write(row(number, bond))
        if number == 0:
            raise Refused("there is no bond to write: no two atoms are within the cutoff of each other", path)
        os.replace(unfinished, path)
    except BaseException:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise
    return number


def row(number: int, bond: LabeledBond) -> str:
    """The line of bond `number` (from 1), newline included. Raises Refused for what is no finite number."""
    (a, b), (x, y, z) = bond.elements, bond.translation
    if not (math.isfinite(bond.distance) and math.isfinite(bond.icohp)):
        raise Refused(
            f"bond {number} ({a}{bond.i + 1}-{b}{bond.j + 1}) has a distance of {bond.distance} Å and an ICOHP of "
            f"{bond.icohp} eV: expected finite numbers"
        )
    return _ROW % (number, f"{a}{bond.i + 1}", f"{b}{bond.j + 1}", bond.distance, x, y, z, bond.icohp)


def read(path: str | os.PathLike[str]) -> list[LabeledBond]:
    """Read all bonds of a file that LOBSTER 3.0 to 5.1 wrote, or `write`.

    A bond of an atom with its own image is listed from both sides by LOBSTER 5; it is one bond and comes back once.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    list of LabeledBond
        In the order of the file, energies (eV) of both spins added up. A bond that is listed from its later atom is
        turned round: ``i <= j``.

    Raises
    ------
    Refused
        If the file is no such list, breaks off, lists a bond twice (also as seen from its other atom), leaves a
        number out, or has two spins that don't list the same bonds; with the line.
    OSError
        If it can't be read.
    """
    with open(path, encoding="ascii", errors="replace", newline="") as file:
        return Reader(path).read(file)
