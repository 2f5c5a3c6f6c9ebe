"""Giving a cell's directory the labels of `labels.label`, once, and never in place of someone else's."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lammps_jobs.bonds import icohplist, structures
from lammps_jobs.bonds.calculation import LABELS, ORIGIN, STRUCTURE
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import METHOD, label

__all__ = ["Settings", "label_cell"]


@dataclass(frozen=True)
class Settings:
    """What the labels depend on, besides the structure. See `labels.label`."""

    shortest: float
    longest: float
    temperature: float


def label_cell(cell: Path, settings: Settings, *, iterations: int, types: Sequence[str] | None = None) -> int | None:
    """Label one cell, and write ``ICOHPLIST.lobster`` beside its structure.

    ``labels.json`` beside it says what made it: method, version, settings, the structure's checksum and how many
    bonds there are. It is there first and the list last, so that a list without its origin never is.

    Parameters
    ----------
    cell
        A directory with ``structure.xyz``, or a structure file, whose directory gets the labels.
    settings
        What to do.
    iterations
        Of the self-consistent field, at most.
    types
        Elements of LAMMPS's atom types, see `structures.read`.

    Returns
    -------
    int or None
        How many bonds were labeled; None if this very structure had been labeled so before.

    Raises
    ------
    Refused
        If the structure or its calculation is refused, or if the directory has labels that are not from here or of
        another structure or other settings.
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
    structure = structures.read(path, types=types)
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
        raise Refused(f"there are labels already that are not from here ({ORIGIN} is not beside them)", labels)
    try:
        before = json.loads(origin.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refused(f"expected a JSON object: {error}", origin) from error
    differs = [name for name, value in identity.items() if not isinstance(before, dict) or before.get(name) != value]
    if differs:
        raise Refused(
            f"there are labels already, with another {', another '.join(differs)}: remove them to have them made anew",
            labels,
        )
