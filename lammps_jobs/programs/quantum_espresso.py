"""`quantum-espresso`: pw.x, for a self-consistent field, a relaxation, or bands on the density of a parent.

The site's options: ``pseudopotentials`` (a folder, required) and ``command`` (default: ``["pw.x"]``).
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
    Parent,
    Program,
    ProgramUnavailable,
    Results,
    Site,
    Step,
    StepRefused,
    Table,
    Value,
    Verdict,
    copy_checked,
    sha256_of,
)  # fmt: skip

from lammps_jobs.programs.corrections import better_mixing, longer_walltime
from lammps_jobs.programs.energy_profile import energy_profile
from lammps_jobs.programs.espresso.analyses import bands, gap
from lammps_jobs.programs.espresso.input_file import OUTDIR, PREFIX, cell_block, pw_input
from lammps_jobs.programs.espresso.report import PwReport, read_report
from lammps_jobs.programs.espresso.schema import SCHEMA
from lammps_jobs.programs.espresso.xml_output import PwXml, UnusableXml, read_xml
from lammps_jobs.programs.extended_xyz import Atom, Structure, extended_xyz
from lammps_jobs.programs.installed import printed_version
from lammps_jobs.programs.parents import STRUCTURE, atoms_of, start_from_parent, write_turned_structure
from lammps_jobs.programs.pseudopotentials import Pseudopotentials
from lammps_jobs.programs.text_lines import first_words

__all__ = ["QuantumEspresso"]

INPUT, OUTPUT = "pw.in", "output.txt"
XML = f"{OUTDIR}/{PREFIX}.xml"
SAVE = f"{OUTDIR}/{PREFIX}.save"
DENSITY, SCHEMA_FILE = "charge-density.dat", "data-file-schema.xml"
HANDED_ON = {f"{SAVE}/{DENSITY}": "density_sha256", f"{SAVE}/{SCHEMA_FILE}": "schema_sha256"}
LEAST_MIXING, MOST_ITERATIONS = 0.05, 1000
MOST_EIGENVALUES = 50_000


class QuantumEspresso(Program):
    """One run of pw.x."""

    name = "quantum-espresso"
    title = "Quantum ESPRESSO (pw.x)"
    description = "Energy, forces, dipole and bands by plane waves. A step starts from the density of its parent."
    needs_structure = None
    analyses = (
        Analysis("bands", "Bands", "Eigenvalues against the k-points, as a picture.", bands),
        Analysis("gap", "Gap", "Highest occupied and lowest empty level.", gap),
        Analysis(
            "energy-profile", "Energy profile", "Energies of this step and those before it, against the scanned parameter.",
            energy_profile,
        ),
    )  # fmt: skip

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        folder = site.options.get("pseudopotentials")
        if not folder:
            raise ProgramUnavailable("pseudopotentials is missing: expected the path of a folder with pseudopotentials")
        self._pseudopotentials = Pseudopotentials(Path(str(folder)))
        self._words = [str(word) for word in site.options.get("command") or ["pw.x"]]

    def version(self) -> str:
        return printed_version(
            self.site, self._words, ["-in", "no-input"], lambda path: read_report(path).version, "pw.x"
        )

    def schema(self) -> dict[str, Any]:
        return SCHEMA

    def prepare(self, step: Step, folder: Path) -> None:
        settings, structure = step.settings, write_turned_structure(step, folder)
        files = {}
        for element in structure.elements:
            source = self._pseudopotentials.of(element)
            files[element] = f"{element}{source.suffix}"  # the site's own name may hold blanks
            copy_checked(source, folder / files[element])
        parent = start_from_parent(step, folder, HANDED_ON, ("ecutwfc", "ecutrho"), "density")
        if parent is not None:
            _same_cell(parent, structure)
        elif settings["calculation"] == "bands":
            raise StepRefused("bands need a density: make the step a child of one with calculation 'scf'")
        content = pw_input(
            settings, structure, files, from_density=parent is not None, seconds=step.mpi_resources.limit
        )
        (folder / INPUT).write_text(content, encoding="utf-8")

    def command(self, step: Step, folder: Path) -> list[str]:
        return self.site.command([*self._words, "-in", INPUT], step, folder)

    def validate(self, step: Step, folder: Path, exit_code: int | None) -> Verdict:
        try:
            report = read_report(folder / OUTPUT)
            wants_density = "startingpot = 'file'" in (folder / INPUT).read_text(encoding="utf-8")
        except OSError as error:
            return Verdict.failed(f"{error.filename} can't be read: {error.strerror}")
        kind = step.settings["calculation"]
        if (verdict := _unfinished(report, exit_code, first_words(folder / OUTPUT))) is not None:
            return verdict
        if wants_density and kind != "bands" and report.start != "density":
            return Verdict.failed(
                "pw.x did not read the density of the parent: its report says 'superposition of free atoms', not 'The initial "
                "density is read from file'", "density",
            )  # fmt: skip
        try:
            xml = read_xml(folder / XML)
        except UnusableXml as error:
            return Verdict.failed(f"the report is complete, but {error}")
        return _converged(report, xml, kind, exit_code, step, folder)

    def extract(self, step: Step, folder: Path) -> Results:
        xml, report = read_xml(folder / XML), read_report(folder / OUTPUT)
        values = {"started from": Value("the parent's density" if report.start == "density" else "atoms")}
        numbers = {
            "energy": (xml.energy, "eV"), "highest level": (xml.fermi, "eV"), "dipole": (xml.dipole, "e Å"),
        }  # fmt: skip
        if step.settings["calculation"] == "bands":
            numbers["energy"] = (None, "")
            values["started from"] = Value("the parent's density")
        values |= {name: Value(number, unit) for name, (number, unit) in numbers.items() if number is not None}
        if xml.scf_steps and step.settings["calculation"] != "bands":
            values["iterations"] = Value(xml.scf_steps)
        tables = {}
        if xml.forces:
            values["largest force"] = Value(max(abs(x) for row in xml.forces for x in row), "eV/Å")
            rows: list[list[Any]] = [
                [number, name, *force]
                for number, ((name, _), force) in enumerate(zip(xml.positions, xml.forces, strict=True), 1)
            ]
            tables["forces"] = Table({"atom": "", "element": "", "x": "eV/Å", "y": "eV/Å", "z": "eV/Å"}, rows)
        note = ""
        if sum(len(point.energies) for point in xml.kpoints) <= MOST_EIGENVALUES:
            tables["bands"] = _band_table(xml)
        else:
            note = f"The table of bands is left out: it has more than {MOST_EIGENVALUES} eigenvalues."
        if step.settings["calculation"] == "relax":
            (folder / STRUCTURE).write_text(_final(xml), encoding="utf-8")
        values["structure_sha256"] = Value(sha256_of(folder / STRUCTURE))
        if step.settings["calculation"] != "bands":
            values["density_sha256"] = Value(sha256_of(folder / SAVE / DENSITY))
            values["schema_sha256"] = Value(sha256_of(folder / SAVE / SCHEMA_FILE))
        return Results(values, tables, (STRUCTURE,), note)

    def correct(self, step: Step, folder: Path, verdict: Verdict) -> Correction | None:
        if verdict.cause in ("walltime", "stopped"):
            return longer_walltime(step, folder, stopped_itself=verdict.cause == "walltime")
        return better_mixing(step, LEAST_MIXING, MOST_ITERATIONS) if verdict.cause == "scf-steps" else None

    def keep(self, step: Step) -> Keep:
        return Keep(
            children=(f"{SAVE}/{DENSITY}", f"{SAVE}/{SCHEMA_FILE}", STRUCTURE, INPUT),
            always=(OUTPUT, INPUT, XML, "CRASH"),
        )

    def walltime_features(self, step: Step) -> Mapping[str, Any]:
        settings = step.settings
        points = math.prod(settings["kpoints"])
        return {
            "atoms": atoms_of(step), "calculation": settings["calculation"], "ecutwfc": settings["ecutwfc"], "kpoints": points,
        }  # fmt: skip


def _unfinished(report: PwReport, exit_code: int | None, said: str) -> Verdict | None:
    """Return why the run did not come to its end; None if it did, whatever its exit code."""
    if report.out_of_time:
        return Verdict.unconverged("pw.x stopped at its time limit: 'Maximum CPU time exceeded'", "walltime")
    if exit_code is None:
        return Verdict.failed("the job ended without an exit code: it was killed or cancelled", "stopped")
    if not report.version:
        return Verdict.failed(
            f"pw.x did not start (exit code {exit_code}): {OUTPUT} has no 'Program PWSCF', but {said}"
        )
    if report.error:
        return Verdict.failed(f"pw.x stopped with an error in routine {report.error}")
    if report.not_achieved:
        return Verdict.unconverged(report.not_achieved, "scf-steps")
    if not report.done:
        return Verdict.failed(
            f"the report ends without 'JOB DONE.' (exit code {exit_code}): pw.x was killed or crashed"
        )
    return None


def _converged(report: PwReport, xml: PwXml, kind: str, exit_code: int | None, step: Step, folder: Path) -> Verdict:
    if kind == "bands":
        if not report.bands or report.unconverged_bands:
            return Verdict.unconverged("eigenvalues of the bands did not converge", "bands")
        if not xml.kpoints:
            return Verdict.failed(f"{XML} has no eigenvalues")
    elif not xml.scf or not report.achieved:
        said = "'convergence has been achieved'" if report.achieved else "no 'convergence has been achieved'"
        state = {True: "true", False: "false", None: "missing"}[xml.scf]
        return Verdict.unconverged(
            f"convergence_achieved is {state} in {XML} after {xml.scf_steps} iterations, and the report has {said}",
            "scf-steps",
        )
    elif xml.energy is None:
        return Verdict.failed(f"{XML} has no total energy")
    if kind == "relax" and not (xml.relaxed and report.relaxed):
        return Verdict.unconverged("the geometry did not converge", "geometry")
    if exit_code != 0:
        return Verdict.failed(f"pw.x ended with exit code {exit_code}")
    text = (folder / STRUCTURE).read_text(encoding="utf-8")
    elements = [line.split()[0] for line in text.splitlines()[2:]]
    if [name for name, _ in xml.positions] != elements:
        return Verdict.failed(f"{XML} has other atoms than the step: it belongs to another calculation")
    if kind != "bands" and not (folder / SAVE / DENSITY).is_file():
        return Verdict.failed(f"pw.x wrote no {DENSITY}")
    return Verdict.done()


def _same_cell(parent: Parent, structure: Structure) -> None:
    """Refuse a density of another cell: pw.x would read it and take its numbers for those of other plane waves."""
    path = parent.folder / INPUT
    try:
        written = path.read_text(encoding="utf-8")
    except OSError:
        raise StepRefused(f"{path} is missing: run the step {parent.name!r} again") from None
    if cell_block(structure) not in written:
        raise StepRefused(
            f"the cell is another than that of the parent {parent.name!r}: set it alike, or start 'atoms'"
        )


def _band_table(xml: PwXml) -> Table:
    scale = 1.0 if xml.lattice_length is None else 6.283185307179586 / xml.lattice_length
    rows = [
        [number, *(scale * x for x in point.position), band, energy, occupation]
        for number, point in enumerate(xml.kpoints, 1)
        for band, (energy, occupation) in enumerate(zip(point.energies, point.occupations, strict=True), 1)
    ]
    columns = {"point": "", "kx": "1/Å", "ky": "1/Å", "kz": "1/Å", "band": "", "energy": "eV", "occupation": ""}
    return Table(columns, rows)


def _final(xml: PwXml) -> str:
    """Return the structure at the end."""
    atoms = tuple(Atom(name, (x, y, z)) for name, (x, y, z) in xml.positions)
    (a, b, c), (d, e, f), (g, h, i) = xml.cell
    return extended_xyz(Structure(atoms, ((a, b, c), (d, e, f), (g, h, i)), (True, True, True)))
