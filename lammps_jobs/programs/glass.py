"""`glass`: a metallic glass by melt and quench with LAMMPS. Option ``potential`` of the site: an eam/alloy or eam/fs file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.programs import Correction, Keep, ProgramUnavailable, Site, Step, StepRefused, Verdict

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.potential import Potential
from lammps_jobs.programs.corrections import longer_walltime
from lammps_jobs.programs.python_job import PythonJob
from lammps_jobs.runs.lammps_job import LammpsNotFound, Programs

__all__ = ["Glass"]


class Glass(PythonJob):
    """Makes one glass. Its children get the cell."""

    name = "glass"
    title = "Metallic glass"
    description = "Melts and quenches atoms of a composition with LAMMPS, at constant pressure."
    needs_structure = False
    job, package = "glass", "lammps"
    needs = ("numpy", "ase", "scipy")

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        potential = site.options.get("potential")
        self._potential = None if potential is None else Path(str(potential)).resolve()
        if self._potential is not None and not self._potential.is_file():
            raise ProgramUnavailable(f"potential is {str(potential)!r}: expected an eam/alloy or eam/fs file")

    def version(self) -> str:
        if "command" not in self.site.options:
            try:
                Programs.find()
            except LammpsNotFound as error:
                raise ProgramUnavailable(str(error)) from None
        return super().version()

    def schema(self) -> dict[str, Any]:
        time = {"type": "number", "minimum": 0, "maximum": 1e6, "unit": "ps"}
        temperature = {"type": "number", "minimum": 1, "maximum": 20000, "unit": "K"}
        properties = {
            "composition": {
                "type": "string", "maxLength": 100, "default": "Cu50Zr50", "title": "Composition",
                "description": "Elements and their shares, such as Zr49Cu49Al2.",
            },
            "atoms": {"type": "integer", "minimum": 2, "maximum": 1_000_000, "default": 100, "title": "Atoms"},
            "seed": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1, "default": 1, "title": "Seed"},
            "hot": {**temperature, "default": 2000, "title": "Temperature of the melt"},
            "cold": {**temperature, "default": 300, "title": "Temperature after the quench"},
            "melt": {**time, "default": 20, "title": "Time of the melt"},
            "hold": {**time, "default": 10, "title": "Time at the final temperature"},
            "rate": {
                "type": "number", "minimum": 1e-4, "maximum": 1e6, "default": 10, "unit": "K/ps", "title": "Rate of the quench",
            },
        }  # fmt: skip
        return {"type": "object", "properties": properties, "required": [], "additionalProperties": False}

    def structure(self, step: Step) -> str | None:
        return None

    def prepare(self, step: Step, folder: Path) -> None:
        self._check_elements(step.settings["composition"])
        super().prepare(step, folder)

    def _check_elements(self, composition: str) -> None:
        try:
            potential = Potential.read(self._potential)
        except (Refused, OSError, LammpsNotFound):
            return  # it may be in a container; else the job says what is wrong with it
        missing = [one for one in re.findall("[A-Z][a-z]?", composition) if one not in potential.elements]
        if missing:
            raise StepRefused(
                f"composition is {composition!r}: the potential {potential.path.name} has {', '.join(potential.elements)}, not "
                f"{', '.join(missing)}; choose elements that it has, or have the site name another potential for glass"
            )

    def inputs(self, step: Step, folder: Path) -> Mapping[str, Any]:
        return {"potential": None if self._potential is None else str(self._potential)}

    def correct(self, step: Step, folder: Path, verdict: Verdict) -> Correction | None:
        return longer_walltime(step, folder) if verdict.cause == "stopped" else None

    def keep(self, step: Step) -> Keep:
        kept = super().keep(step)
        return Keep(children=kept.children, always=(*kept.always, "md/log.lammps"))

    def walltime_features(self, step: Step) -> Mapping[str, Any]:
        settings = step.settings
        time = settings["melt"] + (settings["hot"] - settings["cold"]) / settings["rate"] + settings["hold"]
        return {"atoms": settings["atoms"], "simulated_ps": time}
