"""The fourteen deformations of a cell that Phys. Rev. Materials 4, 113603 adds to its database of bonds.

The cell from molecular dynamics is sub-run 00. Each deformed copy is another sub-run, with a calculation of its own.
The copies add bond lengths and environments that are rare in a relaxed glass. Atoms keep their fractional coordinates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.errors import Refused

__all__ = ["DEFORMATIONS", "Deformation", "deform", "sibling"]

SHEAR = 0.5
STRETCH, COMPRESSION = 1.02, 0.80
EXPANSION, CONTRACTION = 1.01, 0.90

_UNDEFORMED = re.compile(r"(?P<run>.+)-00")


@dataclass(frozen=True)
class Deformation:
    """One way to deform a cell.

    Attributes
    ----------
    subrun
        Number of the sub-run, 1 to 14.
    what
        Description, such as ``shear xy by 0.5`` or ``compress z by 20 %``.
    matrix
        Matrix by which each lattice vector, a row, is multiplied from the right.
    """

    subrun: int
    what: str
    matrix: tuple[tuple[float, float, float], ...]


def _shear(row: int, column: int) -> np.ndarray:
    matrix = np.eye(3)
    matrix[row, column] = SHEAR
    return matrix


def _scale(axes: str, factor: float) -> np.ndarray:
    return np.diag([factor if axis in axes else 1.0 for axis in "xyz"])


def _all() -> tuple[Deformation, ...]:
    steps = [(f"shear {'xyz'[i]}{'xyz'[j]} by {SHEAR}", _shear(i, j)) for i in range(3) for j in range(3) if i != j]
    for axis in "xyz":
        steps.append((f"stretch {axis} by 2 %", _scale(axis, STRETCH)))
        steps.append((f"compress {axis} by 20 %", _scale(axis, COMPRESSION)))
    steps.append(("expand by 1 % along x, y and z", _scale("xyz", EXPANSION)))
    steps.append(("contract by 10 % along x, y and z", _scale("xyz", CONTRACTION)))
    return tuple(
        Deformation(number, what, tuple((float(a), float(b), float(c)) for a, b, c in matrix))
        for number, (what, matrix) in enumerate(steps, start=1)
    )


DEFORMATIONS = _all()
"""In the order of the reference data: six shears, then x, y and z each stretched and compressed, then all three."""


def deform(structure: Atoms, deformation: Deformation) -> Atoms:
    """Return a deformed copy of a structure, in Å."""
    copy = structure.copy()
    copy.set_cell(structure.cell.array @ np.array(deformation.matrix), scale_atoms=True)
    return copy


def sibling(directory: Path, deformation: Deformation) -> Path:
    """Return the directory for a deformed copy of the cell in `directory`: next to it, named by its sub-run.

    Raises
    ------
    Refused
        If the directory's name doesn't end in ``-00``, so that it isn't an undeformed cell.
    """
    found = _UNDEFORMED.fullmatch(directory.resolve().name)
    if found is None:
        raise Refused(
            "only undeformed cells can be deformed: expected a directory with a name like Cu50Zr50-1-00", directory
        )
    return directory.resolve().with_name(f"{found['run']}-{deformation.subrun:02d}")
