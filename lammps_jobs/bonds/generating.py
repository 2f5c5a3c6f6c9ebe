"""Which glasses a command asks for, and giving each its directory, once."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lammps_jobs.bonds import structures
from lammps_jobs.bonds.calculation import STRUCTURE
from lammps_jobs.bonds.composition import Composition
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generate import Quench, melt_quench
from lammps_jobs.bonds.potential import Potential
from lammps_jobs.run import Programs

__all__ = ["RECORD", "cells", "generate_cell"]

RECORD = "generate.json"


def cells(options: argparse.Namespace) -> list[tuple[Path, Quench]]:
    """The cells of `commands.generate`'s options: directory and how each is made, seeds counted up with the runs.

    Raises
    ------
    Refused
        If something about them can't be, or a directory that is there holds another cell.
    """
    composition, potential = Composition.parse(options.composition), Potential.read(options.potential)
    wanted = []
    for number in range(options.cells):
        quench = Quench(
            composition, options.atoms, potential, seed=options.seed + number, hot=options.hot, cold=options.cold,
            melt=options.melt, hold=options.hold, rate=options.rate, processes=options.processes,
        )  # fmt: skip
        place = options.directory / f"{composition.text}-{options.first + number}-00"
        _there(place, quench)
        wanted.append((place, quench))
    return wanted


def generate_cell(place: Path, quench: Quench, programs: Programs, watch: Callable[[int], None]) -> bool:
    """Make one cell, and say whether it was made now. See `generate.melt_quench` for what is raised."""
    if _there(place, quench):
        return False
    scratch = place / "md"
    scratch.mkdir(parents=True, exist_ok=True)
    glass = melt_quench(quench, scratch, programs, watch)
    unfinished = place / f"{RECORD}.unfinished"
    unfinished.write_text(json.dumps(_record(quench), indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, place / RECORD)
    structures.write(place / STRUCTURE, glass)
    return True


def _there(place: Path, quench: Quench) -> bool:
    """Whether this very cell was made before. Raises Refused if another one is in its place."""
    if not (place / STRUCTURE).exists():
        return False
    try:
        before = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if before != _record(quench):
        raise Refused(
            f"there is a cell already that was made in another way (see {RECORD}): give another directory or another "
            "--first",
            place,
        )
    return True


def _record(quench: Quench) -> dict[str, Any]:
    potential = hashlib.sha256(quench.potential.path.read_bytes()).hexdigest()
    return {
        "composition": quench.composition.text, "atoms": quench.atoms, "potential": quench.potential.path.name,
        "sha256": potential, "style": quench.potential.style, "seed": quench.seed, "hot": quench.hot, "cold": quench.cold,
        "melt": quench.melt, "hold": quench.hold, "rate": quench.rate, "processes": quench.processes,
    }  # fmt: skip
