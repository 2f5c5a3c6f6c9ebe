"""The job of `deform`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tailrace.programs import Results, Value, sha256_of

from lammps_jobs.bonds.generation.deformations import DEFORMATIONS, deform
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.programs.jobs.small_structure import small_structure

__all__ = ["run"]

STRUCTURE, BEFORE = "structure.xyz", "undeformed.xyz"


def run(folder: Path, given: dict[str, Any]) -> Results:
    """Deform the cell. Raises lammps_jobs.bonds.errors.Refused if the cell before or after it can't be used."""
    chosen = DEFORMATIONS[given["settings"]["deformation"] - 1]
    shutil.copyfile(folder / STRUCTURE, folder / BEFORE)
    deformed = deform(structure_files.read(folder / BEFORE), chosen)
    structure_files.check(deformed)
    structure_files.write(folder / STRUCTURE, deformed)
    values = {
        "deformation": Value(chosen.what),
        "volume": Value(float(deformed.get_volume()), "Å³"),
        "structure_sha256": Value(sha256_of(folder / STRUCTURE)),
    }
    return Results(values, files=small_structure(deformed))
