"""Directories of generated glasses: which ones a command requests, and making each one once."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.composition import Composition
from lammps_jobs.bonds.generation.melt_quench import Quench, melt_quench
from lammps_jobs.bonds.generation.potential import Potential
from lammps_jobs.bonds.labels.calculation import STRUCTURE
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.runs.lammps_job import Programs

__all__ = ["RECORD", "cells", "generate_cell"]

RECORD = "generate.json"


def cells(options: argparse.Namespace) -> list[tuple[Path, Quench]]:
    """Return directory and parameters of each cell that the options of `commands.generate` request.

    The seed increases by one with each run.

    Raises
    ------
    Refused
        If an option is out of range, or if an existing directory holds another cell.
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
    """Make one cell unless it exists. Return whether it was made. Raises the errors of `melt_quench.melt_quench`."""
    if _there(place, quench):
        return False
    scratch = place / "md"
    scratch.mkdir(parents=True, exist_ok=True)
    glass = melt_quench(quench, scratch, programs, watch)
    unfinished = place / f"{RECORD}.unfinished"
    unfinished.write_text(json.dumps(_record(quench), indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, place / RECORD)
    structure_files.write(place / STRUCTURE, glass)
    return True


def _there(place: Path, quench: Quench) -> bool:
    """Return whether this cell exists. Raises Refused if the directory holds another cell."""
    if not (place / STRUCTURE).exists():
        return False
    try:
        before = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if before != _record(quench):
        raise Refused(
            f"the directory holds a cell with other parameters (see {RECORD}): give another directory or another "
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
