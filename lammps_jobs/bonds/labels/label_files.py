"""Writes labels from `tblite_labels.label` to a cell's directory. Labels from another source are never replaced."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.labels.calculation import LABELS, ORIGIN, STRUCTURE
from lammps_jobs.bonds.labels.tblite_labels import METHOD, label
from lammps_jobs.bonds.structures import structure_files

__all__ = ["Settings", "label_cell"]


@dataclass(frozen=True)
class Settings:
    """Settings of `tblite_labels.label` that change the labels."""

    shortest: float
    longest: float
    temperature: float


def label_cell(cell: Path, settings: Settings, *, iterations: int, types: Sequence[str] | None = None) -> int | None:
    """Label one cell, and write ``ICOHPLIST.lobster`` next to its structure.

    ``labels.json`` records the origin of the labels: method, version, settings, the structure's checksum and the number
    of bonds. It is written before the list, so that there is never a list without its origin.

    Parameters
    ----------
    cell
        A directory with ``structure.xyz``, or a structure file, whose directory gets the labels.
    settings
        Settings of the calculation.
    iterations
        Most iterations of the self-consistent field.
    types
        Elements of LAMMPS's atom types, see `structure_files.read`.

    Returns
    -------
    int or None
        Number of labeled bonds; None if this structure has these labels already.

    Raises
    ------
    Refused
        If the structure or its calculation is refused, or if the directory has labels from another program, for another
        structure or with other settings.
    OSError
        If a file can't be read or written.
    """
    path = cell / STRUCTURE if cell.is_dir() else cell
    origin, labels = path.with_name(ORIGIN), path.with_name(LABELS)
    identity = {
        "method": METHOD,
        "tblite": importlib.metadata.version("tblite"),
        "shortest": settings.shortest,
        "longest": settings.longest,
        "temperature": settings.temperature,
        "structure": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    if labels.exists():
        _same(identity, origin, labels)
        return None
    structure = structure_files.read(path, types=types)
    try:
        bonds = label(
            structure, settings.shortest, settings.longest, iterations=iterations, temperature=settings.temperature
        )
    except Refused as error:
        raise Refused(error.reason, path) from error
    unfinished = origin.with_name(f"{ORIGIN}.unfinished")
    unfinished.write_text(json.dumps(identity | {"bonds": len(bonds)}, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, origin)
    return icohplist.write(labels, bonds)


def _same(identity: dict[str, Any], origin: Path, labels: Path) -> None:
    if not origin.exists():
        raise Refused(f"there are labels already that this command did not write ({ORIGIN} is missing)", labels)
    try:
        before = json.loads(origin.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refused(f"expected a JSON object: {error}", origin) from error
    differs = [name for name, value in identity.items() if not isinstance(before, dict) or before.get(name) != value]
    if differs:
        raise Refused(
            f"there are labels already, with another {', another '.join(differs)}: remove them to label the cell again",
            labels,
        )
