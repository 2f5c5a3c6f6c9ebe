"""`siesta`: a self-consistent field or a relaxation by SIESTA 4.0 to 5.

The site's options: ``pseudopotentials`` (a folder with .psf or .psml files, required), ``command`` (default:
``["siesta"]``), ``fdf`` (a file with more settings of the site; those of the step come first and count).

It was tested against outputs that were written after the documented formats, not with a real SIESTA.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.programs import (
    Analysis,
    Correction,
    Keep,
    Program,
    ProgramUnavailable,
    Results,
    Site,
    Step,
    Table,
    Value,
    Verdict,
    copy_checked,
    sha256_of,
)  # fmt: skip

from lammps_jobs.programs.corrections import attempts_left, better_mixing, longer_walltime
from lammps_jobs.programs.energy_profile import energy_profile
from lammps_jobs.programs.extended_xyz import Atom, Structure, extended_xyz, structure_of
from lammps_jobs.programs.installed import printed_version
from lammps_jobs.programs.parents import STRUCTURE, atoms_of, start_from_parent, write_turned_structure
from lammps_jobs.programs.pseudopotentials import Pseudopotentials
from lammps_jobs.programs.siesta_files.forces import UnusableFile, last_frame, read_forces
from lammps_jobs.programs.siesta_files.input_file import LABEL, fdf
from lammps_jobs.programs.siesta_files.report import SiestaReport, read_report
from lammps_jobs.programs.siesta_files.schema import SCHEMA
from lammps_jobs.programs.text_lines import first_words

__all__ = ["Siesta"]

INPUT, OUTPUT = f"{LABEL}.fdf", "output.txt"
DENSITY, FORCES, TRAJECTORY = f"{LABEL}.DM", f"{LABEL}.FA", f"{LABEL}.ANI"
BOHR = 0.529177210903
LEAST_MIXING, MOST_ITERATIONS, MOST_MOVES = 0.01, 5000, 10000


class Siesta(Program):
    """One run of SIESTA."""

    name = "siesta"
    title = "SIESTA"
    description = (
        "Energy, forces and dipole by numerical atomic orbitals. A step starts from the parent's density matrix."
    )
    needs_structure = None
    analyses = (
        Analysis(
            "energy-profile", "Energy profile", "Energies of this step and those before it, against the scanned parameter.",
            energy_profile,
        ),
    )  # fmt: skip

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        folder = site.options.get("pseudopotentials")
        if not folder:
            raise ProgramUnavailable(
                "pseudopotentials is missing: expected the path of a folder with .psf or .psml files"
            )
        self._pseudopotentials = Pseudopotentials(Path(str(folder)), (".psf", ".psml"))
        self._words = [str(word) for word in site.options.get("command") or ["siesta"]]
        try:
            self._more = Path(str(site.options["fdf"])).read_text(encoding="utf-8") if site.options.get("fdf") else ""
        except (OSError, UnicodeDecodeError) as error:
            raise ProgramUnavailable(f"fdf is {site.options['fdf']!r}, which can't be read: {error}") from None

    def version(self) -> str:
        return printed_version(self.site, self._words, ["--version"], lambda path: read_report(path).version, "SIESTA")

    def schema(self) -> dict[str, Any]:
        return SCHEMA

    def prepare(self, step: Step, folder: Path) -> None:
        settings, structure = step.settings, write_turned_structure(step, folder)
        for element in structure.elements:
            source = self._pseudopotentials.of(element)
            # SIESTA looks for the name of the species, whatever the site calls its file.
            copy_checked(source, folder / f"{element}{source.suffix.lower()}")
        parent = start_from_parent(step, folder, {DENSITY: "density_sha256"}, ("basis",), "density matrix")
        content = fdf(
            settings, structure, from_density=parent is not None, seconds=step.mpi_resources.limit, more=self._more
        )
        (folder / INPUT).write_text(content, encoding="utf-8")

    def command(self, step: Step, folder: Path) -> list[str]:
        # Versions from 4.1 on take the input as an argument; 4.0 reads standard input only: a wrapper of the site does that.
        return self.site.command([*self._words, INPUT], step, folder)

    def validate(self, step: Step, folder: Path, exit_code: int | None) -> Verdict:
        try:
            report = read_report(folder / OUTPUT)
            wants_density = "DM.UseSaveDM true" in (folder / INPUT).read_text(encoding="utf-8")
            atoms = _atoms(folder)
        except OSError as error:
            return Verdict.failed(f"{error.filename} can't be read: {error.strerror}")
        if (verdict := _unfinished(report, exit_code, first_words(folder / OUTPUT))) is not None:
            return verdict
        if wants_density and report.start != "density":
            return Verdict.failed("SIESTA did not say that it read the parent's density matrix", "density")
        if not _scf_converged(report, step.settings):
            return Verdict.unconverged(
                f"no line says that the self-consistent field converged, and after {report.iterations} iterations the density "
                f"matrix still changed by {report.change}", "scf-steps",
            )  # fmt: skip
        if step.settings["calculation"] == "relax" and not report.relaxed:
            return Verdict.unconverged(
                "the geometry did not converge: the final coordinates are not relaxed", "geometry"
            )
        if exit_code != 0:
            return Verdict.failed(f"the report is complete, but SIESTA ended with exit code {exit_code}")
        if report.energy is None or not math.isfinite(report.energy):
            return Verdict.failed(f"{OUTPUT} has no total energy")
        try:
            read_forces(folder / FORCES, atoms)
            if step.settings["calculation"] == "relax":
                last_frame(folder / TRAJECTORY, atoms)
        except UnusableFile as error:
            return Verdict.failed(str(error))
        if not (folder / DENSITY).is_file():
            return Verdict.failed(f"SIESTA wrote no {DENSITY}")
        return Verdict.done()

    def extract(self, step: Step, folder: Path) -> Results:
        report, atoms = read_report(folder / OUTPUT), _atoms(folder)
        forces = read_forces(folder / FORCES, atoms)
        before = _structure(folder)
        values = {
            "energy": Value(report.energy or 0.0, "eV"), "iterations": Value(report.iterations),
            "largest force": Value(max(abs(x) for row in forces for x in row), "eV/Å"),
            "started from": Value("the parent's density matrix" if report.start == "density" else "atoms"),
        }  # fmt: skip
        if report.dipole is not None:
            values["dipole"] = Value(math.sqrt(sum(x * x for x in report.dipole)) * BOHR, "e Å")
        if step.settings["calculation"] == "relax":
            count, frame = last_frame(folder / TRAJECTORY, atoms)
            values["moves"] = Value(count)
            moved = tuple(Atom(symbol, (x, y, z)) for symbol, x, y, z in frame)
            (folder / STRUCTURE).write_text(
                extended_xyz(Structure(moved, before.cell, before.periodic)), encoding="utf-8"
            )
        values["density_sha256"] = Value(sha256_of(folder / DENSITY))
        values["structure_sha256"] = Value(sha256_of(folder / STRUCTURE))
        rows: list[list[Any]] = [
            [number, atom.symbol, *force]
            for number, (atom, force) in enumerate(zip(before.atoms, forces, strict=True), 1)
        ]
        columns = {"atom": "", "element": "", "x": "eV/Å", "y": "eV/Å", "z": "eV/Å"}
        return Results(values, {"forces": Table(columns, rows)}, (STRUCTURE,))

    def correct(self, step: Step, folder: Path, verdict: Verdict) -> Correction | None:
        if verdict.cause in ("walltime", "stopped"):
            return longer_walltime(step, folder, stopped_itself=verdict.cause == "walltime")
        if verdict.cause == "geometry" and attempts_left(step) > 0:
            moves = min(MOST_MOVES, 2 * step.settings["relax_steps"])
            reason = f"{step.settings['relax_steps']} → {moves} moves"
            return Correction("more moves", reason, {**step.corrections, "relax_steps": moves})
        return better_mixing(step, LEAST_MIXING, MOST_ITERATIONS) if verdict.cause == "scf-steps" else None

    def keep(self, step: Step) -> Keep:
        return Keep(
            children=(DENSITY, STRUCTURE), always=(OUTPUT, INPUT, FORCES, TRAJECTORY, f"{LABEL}.XV", "MESSAGES")
        )

    def walltime_features(self, step: Step) -> Mapping[str, Any]:
        settings = step.settings
        points = math.prod(settings["kpoints"])
        return {
            "atoms": atoms_of(step), "calculation": settings["calculation"], "basis": settings["basis"], "mesh_cutoff": settings["mesh_cutoff"],
            "kpoints": points,
        }  # fmt: skip


def _unfinished(report: SiestaReport, exit_code: int | None, said: str) -> Verdict | None:
    """Return why the run did not come to its end; None if it did."""
    if report.out_of_time:
        return Verdict.unconverged("SIESTA stopped at its time limit (MaxWalltime)", "walltime")
    if exit_code is None:
        return Verdict.failed("the job ended without an exit code: it was killed or cancelled", "stopped")
    if not report.version:
        return Verdict.failed(
            f"SIESTA did not start (exit code {exit_code}): {OUTPUT} has no version of it, but {said}"
        )
    if report.not_achieved:
        return Verdict.unconverged(report.not_achieved, "scf-steps")
    if report.geometry_not_converged or report.unrelaxed:
        reason = report.geometry_not_converged or "the final coordinates are unrelaxed"
        return Verdict.unconverged(reason, "geometry")
    if report.stopped:
        return Verdict.failed(f"SIESTA stopped: {report.stopped}")
    if not report.done:
        return Verdict.failed(
            f"the report does not end with 'End of run' (exit code {exit_code}): SIESTA was killed or crashed"
        )
    return None


def _scf_converged(report: SiestaReport, settings: Mapping[str, Any]) -> bool:
    """Whether the last self-consistent field converged. Versions before 4.1 print no line that says so."""
    if report.achieved:
        return True
    is_old = report.version.split("-")[0].split(".")[:2] in (["3", "0"], ["3", "1"], ["3", "2"], ["4", "0"])
    return is_old and report.change is not None and 0 <= report.change <= settings["threshold"]


def _structure(folder: Path) -> Structure:
    text = (folder / STRUCTURE).read_text(encoding="utf-8")
    return structure_of(Step("", "", "", "", {}, structure=text))


def _atoms(folder: Path) -> int:
    return len(_structure(folder).atoms)
