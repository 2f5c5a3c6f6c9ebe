"""The job of `glass`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tailrace.programs import Results, Value, sha256_of

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.composition import Composition
from lammps_jobs.bonds.generation.crystalline import MOST_CRYSTALLINE, crystalline_share
from lammps_jobs.bonds.generation.melt_quench import Quench, melt_quench
from lammps_jobs.bonds.generation.potential import Potential
from lammps_jobs.bonds.structures.structure_files import write
from lammps_jobs.logs.log_reader import read_log
from lammps_jobs.programs.jobs.small_structure import small_structure
from lammps_jobs.runs.lammps_job import LOG, Programs

__all__ = ["NotAGlass", "run"]

STRUCTURE, SCRATCH = "structure.xyz", "md"
GRAMS = 1.66053906660  # g/cm³ of 1 u/Å³


class NotAGlass(Refused):
    """The melt has crystallised."""

    cause = "crystalline"


def run(folder: Path, given: dict[str, Any]) -> Results:
    """Make the glass.

    Raises
    ------
    Refused
        If LAMMPS did not complete, or a parameter can't be used.
    NotAGlass
        If the melt has crystallised.
    """
    settings = given["settings"]
    potential = Potential.read(None if given["potential"] is None else Path(given["potential"]))
    quench = Quench(
        Composition.parse(settings["composition"]), settings["atoms"], potential, seed=settings["seed"],
        hot=settings["hot"], cold=settings["cold"], melt=settings["melt"], hold=settings["hold"], rate=settings["rate"],
        processes=given["processes"],
    )  # fmt: skip
    (folder / SCRATCH).mkdir()
    glass = melt_quench(quench, folder / SCRATCH, Programs.find(), lambda done: None)
    share = crystalline_share(glass)
    if share is not None and share > MOST_CRYSTALLINE:
        raise NotAGlass(
            f"no glass was made of {quench.composition.text}: {share:.0%} of its atoms are in a crystal's surroundings (at most "
            f"{MOST_CRYSTALLINE:.0%} in a glass); quench faster than {quench.rate:g} K/ps, melt at a higher temperature or for "
            f"longer than {quench.hot:g} K and {quench.melt:g} ps, or choose another composition or potential"
        )
    write(folder / STRUCTURE, glass)
    values = {
        "atoms": Value(len(glass)),
        "density": Value(float(glass.get_masses().sum() / glass.get_volume() * GRAMS), "g/cm³"),
        "edge of the cell": Value(float(glass.cell.lengths()[0]), "Å"),
        "loop time": Value(read_log(folder / SCRATCH / LOG).loop_time, "s"),
        **({} if share is None else {"crystalline share": Value(share)}),
        "structure_sha256": Value(sha256_of(folder / STRUCTURE)),
    }
    return Results(values, files=small_structure(glass))
