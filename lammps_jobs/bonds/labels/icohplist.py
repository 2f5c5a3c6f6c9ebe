"""Reads and writes ``ICOHPLIST.lobster``: one line for each bond, with its energy up to the Fermi level.

It reads the four layouts of LOBSTER 3.0 to 5.1:

- one block of eight columns (not spin-polarised, any version);
- two blocks of eight columns with separate headers, ``for spin 1`` and ``for spin 2`` (3.0 to 5.0);
- one block of nine columns with a header of two lines, one energy for each spin (5.1);
- each of these with rows for pairs of orbitals (``Cu1_4s``) after a bond's row. They are skipped.

It does not use pymatgen (``Icohplist``, 2026.10), nor lobsterpy, which is based on pymatgen, because they accept
damaged files. If a row is cut inside its last number, pymatgen reads the rest of the number. It does not notice a
missing row, a repeated bond or an energy that is not a number. If the second of two spin blocks is cut, pymatgen reads
the header as a row (``IndexError``, ``ValueError``, without a line) or combines rows of different bonds. The tests
compare this reader with pymatgen for files that both can read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.icohplist_reader import Reader
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["HEADER", "LabeledBond", "read", "row", "write"]

HEADER = "  COHP#  atomMU  atomNU     distance     translation      ICOHP (at) eF   for spin  1\n"
"""The first line of a file of LOBSTER 3.0 to 5.1 that is not spin-polarised."""

_ROW = "%7d %7s %7s %12.5f %7d %3d %3d %18.5f \n"


def write(path: str | os.PathLike[str], bonds: Iterable[LabeledBond]) -> int:
    """Write bonds in the format of LOBSTER 3.0 without spin polarisation, which LOBSTER's own tools can read.

    The file is replaced atomically when it is complete. Bonds are written one at a time, so there may be more of them
    than fit in memory.

    Parameters
    ----------
    path
        The file. An existing one is replaced.
    bonds
        The bonds in the order of the file. Distances (Å) and energies (eV) are rounded to five decimals.

    Returns
    -------
    int
        Number of bonds.

    Raises
    ------
    Refused
        If there are no bonds, or an energy or a distance is not finite. An existing file is then unchanged.
    OSError
        If the file can't be written.
    """
    unfinished = f"{os.fspath(path)}.unfinished"
    number = 0
    try:
        with open(unfinished, "w", encoding="ascii", newline="\n") as file:
            file.write(HEADER)
            for number, bond in enumerate(bonds, start=1):
                file.write(row(number, bond))
        if number == 0:
            raise Refused("there is no bond to write: no two atoms are within the cutoff", path)
        os.replace(unfinished, path)
    except BaseException:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise
    return number


def row(number: int, bond: LabeledBond) -> str:
    """Return the line of bond `number` (from 1), with its newline. Raises Refused if a number is not finite."""
    (a, b), (x, y, z) = bond.elements, bond.translation
    if not (math.isfinite(bond.distance) and math.isfinite(bond.icohp)):
        raise Refused(
            f"bond {number} ({a}{bond.i + 1}-{b}{bond.j + 1}) has a distance of {bond.distance} Å and an ICOHP of "
            f"{bond.icohp} eV: expected finite numbers"
        )
    return _ROW % (number, f"{a}{bond.i + 1}", f"{b}{bond.j + 1}", bond.distance, x, y, z, bond.icohp)


def read(path: str | os.PathLike[str]) -> list[LabeledBond]:
    """Read all bonds of a file that was written by LOBSTER 3.0 to 5.1 or by `write`.

    LOBSTER 5 lists a bond between an atom and its own image twice, from both sides. It is returned once.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    list of LabeledBond
        In the order of the file, with the energies (eV) of both spins added up. Each bond has ``i <= j``: if the file
        lists it from its later atom, it is reversed.

    Raises
    ------
    Refused
        With the line, if the file has another format, is cut, repeats a bond (also from its other atom), lacks a
        number, or lists different bonds for the two spins.
    OSError
        If the file can't be read.
    """
    with open(path, encoding="ascii", errors="replace", newline="") as file:
        return Reader(path).read(file)
