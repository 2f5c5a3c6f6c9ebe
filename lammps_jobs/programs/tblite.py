"""`tblite`: GFN1-xTB and GFN2-xTB, a single point of a molecule or a cell, at a torsion or a distance if wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.programs import (
    Analysis,
    Correction,
    Keep,
    Report,
    Results,
    Step,
    StepRefused,
    Table,
    Verdict,
    copy_checked,
)

from lammps_jobs.programs.corrections import CORRECTIONS, attempts_left
from lammps_jobs.programs.energy_profile import energy_profile
from lammps_jobs.programs.parents import parent_with, require_structure
from lammps_jobs.programs.python_job import INPUT, PythonJob

__all__ = ["Tblite"]

STATE, START = "state.npz", "start.npz"
MOST_ITERATIONS, LEAST_MIXING = 2000, 0.05


def charges(step: Step, folder: Path, results: Results) -> Report:
    """Return the sum of the charges of each element."""
    sums: dict[str, list[float]] = {}
    for row in results.tables["charges"].rows:
        sums.setdefault(str(row[1]), []).append(float(row[2] or 0.0))
    rows = [[element, len(each), sum(each), min(each), max(each)] for element, each in sums.items()]
    columns = {"element": "", "atoms": "", "sum": "e", "least": "e", "most": "e"}
    return Report(tables={"charges of elements": Table(columns, rows)})


class Tblite(PythonJob):
    """One single point by tblite. It starts from the state of its parent where that is of the same atoms and method."""

    name = "tblite"
    title = "tblite (GFN-xTB)"
    description = (
        "Energy, charges and dipole by extended tight binding. A torsion or a distance may be set first. A step starts from "
        "the electronic state of its parent."
    )
    needs_structure = None
    job, package = "tblite", "tblite"
    needs = ("numpy", "ase", "tblite")
    analyses = (
        Analysis("charges", "Charges", "Charges of each element: sum, least and most.", charges),
        Analysis(
            "energy-profile", "Energy profile", "Energies of this step and its parents, against the scanned parameter.",
            energy_profile,
        ),
    )  # fmt: skip

    def schema(self) -> dict[str, Any]:
        atom = {"type": "integer", "minimum": 1}
        properties = {
            "method": {"type": "string", "enum": ["GFN2-xTB", "GFN1-xTB"], "default": "GFN2-xTB", "title": "Method"},
            "charge": {"type": "integer", "minimum": -20, "maximum": 20, "default": 0, "unit": "e", "title": "Charge"},
            "unpaired": {
                "type": "integer", "minimum": 0, "maximum": 20, "default": 0, "title": "Unpaired electrons",
            },
            "temperature": {
                "type": "number", "minimum": 0, "maximum": 50000, "default": 300, "unit": "K",
                "title": "Electronic temperature",
            },
            "iterations": {
                "type": "integer", "minimum": 1, "maximum": MOST_ITERATIONS, "default": 250, "title": "Most iterations",
                "description": "Most iterations of the self-consistent charges.",
            },
            "mixing": {
                "type": "number", "minimum": 0.01, "maximum": 1, "default": 0.4, "title": "Mixing",
                "description": "Damping of the mixer. A smaller one is slower and more stable.",
            },
            "torsion_atoms": {
                "type": "array", "items": atom, "minItems": 4, "maxItems": 4, "title": "Atoms of the torsion",
                "description": "Four atoms, counted from 1. The side of the fourth one turns.",
            },
            "torsion": {
                "type": "number", "minimum": -360, "maximum": 360, "unit": "°", "title": "Torsion",
                "description": "Dihedral angle of the four atoms.",
            },
            "distance_atoms": {
                "type": "array", "items": atom, "minItems": 2, "maxItems": 2, "title": "Atoms of the distance",
                "description": "Two atoms, counted from 1. The side of the second one moves.",
            },
            "distance": {
                "type": "number", "minimum": 0.3, "maximum": 100, "unit": "Å", "title": "Distance",
                "description": "Distance of the two atoms.",
            },
            "start": {
                "type": "string", "enum": ["parent", "fresh"], "default": "parent", "title": "Start from",
                "description": "The parent's electronic state, or a guess. Without a parent: a guess.",
            },
            "corrections": CORRECTIONS,
        }  # fmt: skip
        return {"type": "object", "properties": properties, "required": [], "additionalProperties": False}

    def prepare(self, step: Step, folder: Path) -> None:
        for name in ("torsion", "distance"):
            if (name in step.settings) != (f"{name}_atoms" in step.settings):
                raise StepRefused(f"{name} and {name}_atoms belong together: give both, or neither")
        require_structure(step)
        super().prepare(step, folder)

    def inputs(self, step: Step, folder: Path) -> Mapping[str, Any]:
        if step.settings.get("start", "parent") == "fresh":
            return {}
        parent = parent_with(step, "state_sha256", "state")
        if parent is None:
            return {}
        copy_checked(parent.folder / STATE, folder / START, parent.value("state_sha256"))
        kept = json.loads((parent.folder / INPUT).read_text(encoding="utf-8"))
        return {"start": START, "start_method": kept["settings"].get("method", "GFN2-xTB")}

    def correct(self, step: Step, folder: Path, verdict: Verdict) -> Correction | None:
        if verdict.cause != "scf-steps" or attempts_left(step) < 1:
            return None
        iterations, mixing = int(step.settings.get("iterations", 250)), float(step.settings.get("mixing", 0.4))
        earlier = dict(step.corrections)
        if 4 * iterations <= MOST_ITERATIONS and step.attempt % 2 == 1:
            more = {"iterations": 4 * iterations}
            return Correction("more iterations", f"{iterations} → {4 * iterations} iterations", earlier | more)
        if mixing / 2 < LEAST_MIXING:
            return None
        smaller = {"mixing": mixing / 2, "iterations": min(MOST_ITERATIONS, 2 * iterations)}
        return Correction("smaller mixing", f"mixing {mixing:g} → {mixing / 2:g}", earlier | smaller)

    def keep(self, step: Step) -> Keep:
        kept = super().keep(step)
        return Keep(children=(*kept.children, STATE), always=kept.always)

    def walltime_features(self, step: Step) -> Mapping[str, Any]:
        return {**super().walltime_features(step), "method": step.settings["method"]}
