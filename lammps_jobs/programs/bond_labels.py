"""`bond-labels`: the strength of every bond of a cell by tight binding (`lammps_jobs.bonds.labels.tblite_labels`).

Option ``stream`` of the site: the stream that the bonds go to, with SOAP features for Cu, Zr and Al. Without it, the
labels are results only.

With the parameter ``cell``, the job leaves ``cell.json`` instead: the labeled cell with its bonds and features, as
``POST /api/v1/streams/STREAM/cells/`` takes it. A campaign of the server learns it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.programs import Analysis, Correction, Keep, Report, Results, Step, StepRefused, Table, Verdict

from lammps_jobs.programs.corrections import CORRECTIONS, attempts_left, longer_walltime
from lammps_jobs.programs.parents import require_structure
from lammps_jobs.programs.python_job import PythonJob

__all__ = ["BondLabels"]

MOST_ITERATIONS = 2000
CELL = "cell.json"


def by_type(step: Step, folder: Path, results: Results) -> Report:
    """Return number, mean length and mean strength of each type of bond."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for row in results.tables["bonds"].rows:
        rows.setdefault(str(row[2]), []).append((float(row[3] or 0), float(row[4] or 0)))
    table: list[list[Any]] = [
        [kind, len(each), sum(one[0] for one in each) / len(each), sum(one[1] for one in each) / len(each)]
        for kind, each in sorted(rows.items())
    ]
    return Report(
        tables={"bond types": Table({"type": "", "bonds": "", "mean length": "Å", "mean -ICOHP": "eV"}, table)}
    )


class BondLabels(PythonJob):
    """Labels the bonds of its parent's cell, or of the step's."""

    name = "bond-labels"
    title = "Bond strengths"
    description = "-ICOHP of every bond of a periodic cell, by GFN1-xTB (tblite), in LOBSTER's format."
    needs_structure = None
    job, package = "bond_labels", "tblite"
    needs = ("numpy", "ase", "tblite", "dscribe")
    analyses = (Analysis("bond-types", "Bond types", "Number, mean length and mean strength by type.", by_type),)

    def schema(self) -> dict[str, Any]:
        text = {"type": "string", "default": ""}
        length = {"type": "number", "minimum": 0, "maximum": 20, "unit": "Å"}
        properties = {
            "shortest": {**length, "default": 1.8, "title": "Shortest bond"},
            "longest": {**length, "default": 4.2, "title": "Longest bond"},
            "temperature": {
                "type": "number", "minimum": 0, "maximum": 50000, "default": 300, "unit": "K",
                "title": "Electronic temperature",
            },
            "iterations": {
                "type": "integer", "minimum": 1, "maximum": MOST_ITERATIONS, "default": 250, "title": "Most iterations",
            },
            "corrections": CORRECTIONS,
            "cell": {**text, "maxLength": 200, "title": "Name of the cell", "description": "For campaigns: leave cell.json."},
            "composition": {**text, "maxLength": 100, "title": "Nominal composition of the cell"},
            "family": {**text, "maxLength": 200, "title": "Family", "description": "Name that all deformed copies of a cell share."},
            "deformation": {"type": "integer", "minimum": 0, "maximum": 14, "default": 0, "title": "Deformation of the cell"},
            "descriptor": {**text, "maxLength": 200, "title": "Descriptor", "description": "Name that the stream expects."},
        }  # fmt: skip
        return {"type": "object", "properties": properties, "required": [], "additionalProperties": False}

    def prepare(self, step: Step, folder: Path) -> None:
        if not step.settings["shortest"] < step.settings["longest"]:
            raise StepRefused(
                f"shortest is {step.settings['shortest']} and longest {step.settings['longest']} Å: expected a longer longest"
            )
        require_structure(step)
        super().prepare(step, folder)

    def inputs(self, step: Step, folder: Path) -> Mapping[str, Any]:
        return {"stream": self.site.options.get("stream")}

    def correct(self, step: Step, folder: Path, verdict: Verdict) -> Correction | None:
        if verdict.cause == "stopped":
            return longer_walltime(step, folder)
        before = int(step.settings["iterations"])
        if verdict.cause != "scf-steps" or attempts_left(step) < 1 or 4 * before > MOST_ITERATIONS:
            return None
        change = {**step.corrections, "iterations": 4 * before}
        return Correction("more iterations", f"{before} → {4 * before} iterations", change)

    def keep(self, step: Step) -> Keep:
        kept = super().keep(step)
        cell = (CELL,) if step.settings["cell"] else ()
        return Keep(children=kept.children, always=(*kept.always, "ICOHPLIST.lobster", "labels.json", *cell))
