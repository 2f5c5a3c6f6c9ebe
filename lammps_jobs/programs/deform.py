"""`deform`: one of the fourteen deformed copies of a cell (`lammps_jobs.bonds.generation.deformations`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tailrace.programs import Step

from lammps_jobs.programs.parents import require_structure
from lammps_jobs.programs.python_job import PythonJob

__all__ = ["Deform"]


class Deform(PythonJob):
    """Deforms the cell of its parent, or that of the step. Its children get the deformed cell."""

    name = "deform"
    title = "Deformed cell"
    description = (
        "Shears, stretches or compresses a cell, in one of the fourteen ways of Phys. Rev. Materials 4, 113603."
    )
    needs_structure = None
    job, package = "deform", "ase"

    def schema(self) -> dict[str, Any]:
        properties = {
            "deformation": {
                "type": "integer", "minimum": 1, "maximum": 14, "title": "Deformation",
                "description": "1 to 6: shears of 0.5. 7, 9, 11: x, y, z stretched by 2 %. 8, 10, 12: compressed by 20 %. "
                "13: expanded by 1 %. 14: contracted by 10 %.",
            }
        }  # fmt: skip
        return {"type": "object", "properties": properties, "required": ["deformation"], "additionalProperties": False}

    def prepare(self, step: Step, folder: Path) -> None:
        require_structure(step)
        super().prepare(step, folder)
