"""The job of `bond-labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tailrace.atomic_files import write_json
from tailrace.programs import Observation, Results, StepRefused, Table, Value, sha256_of

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.calculation import LABELS, Calculation
from lammps_jobs.bonds.labels.calculation import check as check_cell
from lammps_jobs.bonds.labels.label_files import Settings, label_cell
from lammps_jobs.bonds.labels.tblite_labels import METHOD
from lammps_jobs.bonds.types import LabeledBond, bond_type
from lammps_jobs.programs.not_converged import NotConverged

__all__ = ["run"]

STRUCTURE, CELL = "structure.xyz", "cell.json"


def run(folder: Path, given: dict[str, Any]) -> Results:
    """Label all bonds. Raises NotConverged, or lammps_jobs.bonds.errors.Refused if the cell or its labels can't be used."""
    settings = given["settings"]
    chosen = Settings(settings["shortest"], settings["longest"], settings["temperature"])
    try:
        label_cell(folder, chosen, iterations=settings["iterations"])
    except Refused as error:
        if "not converged" in str(error):
            raise NotConverged(error.reason, "scf-steps") from error
        raise
    cell = check_cell(folder)
    strengths = [-one.icohp for one in cell.bonds]
    rows: list[list[Any]] = [
        [one.i + 1, one.j + 1, bond_type(*one.elements), one.distance, -one.icohp] for one in cell.bonds
    ]
    values = {
        "bonds": Value(len(rows)), "method": Value(METHOD), "mean -ICOHP": Value(sum(strengths) / len(rows), "eV"),
        "strongest": Value(max(strengths), "eV"), "structure_sha256": Value(sha256_of(folder / STRUCTURE)),
        "labels_sha256": Value(sha256_of(folder / LABELS)),
    }  # fmt: skip
    columns = {"atom": "", "other atom": "", "type": "", "length": "Å", "-ICOHP": "eV"}
    if settings["cell"]:
        write_json(folder / CELL, _cell(folder, settings, cell))
        return Results(values, {"bonds": Table(columns, rows)}, files=(LABELS, CELL))
    observations = [] if given["stream"] is None else _observations(given["stream"], cell.structure, cell.bonds)
    return Results(values, {"bonds": Table(columns, rows)}, files=(LABELS,), observations=observations)


def _cell(folder: Path, settings: dict[str, Any], cell: Calculation) -> dict[str, Any]:
    """Return the body with which the labeled cell is posted to a stream."""
    from lammps_jobs.bonds.descriptors.soap import DEFAULT, Descriptor
    from lammps_jobs.bonds.learning.cell_observations import observations
    from lammps_jobs.bonds.learning.ingest import composition_of

    if settings["descriptor"] not in ("", DEFAULT.name):
        raise StepRefused(
            f"the stream's descriptor is {settings['descriptor']!r}: this program computes {DEFAULT.name!r}"
        )
    name = settings["cell"]
    pairs = observations(cell.structure, cell.bonds, Descriptor(DEFAULT), LABELS)
    return {
        "name": name,
        "structure": (folder / STRUCTURE).read_text(encoding="utf-8"),
        "composition": settings["composition"] or composition_of(name, cell.structure),
        "descriptor": DEFAULT.name,
        "provenance": {
            "method": cell.method, "family": settings["family"] or name, "deformation": settings["deformation"],
        },
        "checksums": {path.name: sha256_of(path) for path in cell.files},
        "observations": [{"x": x, "y": y} for x, y in pairs],
    }  # fmt: skip


def _observations(stream: str, structure: Any, bonds: list[LabeledBond]) -> list[Observation]:
    from lammps_jobs.bonds.descriptors.soap import DEFAULT, Descriptor
    from lammps_jobs.bonds.learning.cell_observations import observations

    pairs = observations(structure, bonds, Descriptor(DEFAULT), LABELS)
    return [Observation(stream, f"bond-{number}", x, y, "eV") for number, (x, y) in enumerate(pairs, start=1)]
