"""`lammps`: the melt that comes with this package, or an input that the site installed.

The site's options for an input of its own::

    [programs.creep]
    module = "lammps_jobs.programs.lammps:Lammps"
    input = "/opt/inputs/creep.in"
    files = ["/opt/inputs/CuZr_mm.eam.fs"]
    [programs.creep.parameters.strain]
    type = "number"
    minimum = 0
    maximum = 0.2

Each parameter becomes a variable of the input, ``-v strain 0.1``. Other options: ``command`` (default: the ``lmp`` beside
this Python or on the PATH), ``stream`` (default: ``lammps-loop-time``), ``atoms_change`` (for inputs that delete or add
atoms).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.programs import (
    Analysis,
    Correction,
    Keep,
    Observation,
    Program,
    ProgramUnavailable,
    Report,
    Results,
    Site,
    Step,
    StepRefused,
    Table,
    Value,
    Verdict,
    check_schema,
    copy_checked,
)  # fmt: skip

from lammps_jobs.logs.log_reader import read_log
from lammps_jobs.logs.log_report import LogReport
from lammps_jobs.logs.thermo import Thermo, ThermoRun, read_thermo
from lammps_jobs.programs.corrections import longer_walltime
from lammps_jobs.programs.installed import printed_version
from lammps_jobs.programs.pictures import Curve, draw
from lammps_jobs.programs.text_lines import lines
from lammps_jobs.runs.lammps_job import INPUTS, POTENTIAL, LammpsNotFound, potentials, program

__all__ = ["Lammps"]

INPUT, LOG = "in.lammps", "log.lammps"
STREAM = "lammps-loop-time"
ENERGIES = ("TotEng", "PotEng", "E_pair")
UNITS = {
    "metal": {"energy": "eV", "temperature": "K", "pressure": "bar", "time": "ps"},
    "real": {"energy": "kcal/mol", "temperature": "K", "pressure": "atm", "time": "fs"},
    "si": {"energy": "J", "temperature": "K", "pressure": "Pa", "time": "s"},
}
KINDS = {**dict.fromkeys((*ENERGIES, "KinEng", "E_mol"), "energy"), "Temp": "temperature", "Press": "pressure"}
_TEXT = re.compile(r"[A-Za-z0-9_.+\-]{1,200}")
_NAME = re.compile(r"[A-Za-z]\w{0,60}")
_VERSION = re.compile(r"Large-scale Atomic/Molecular Massively Parallel Simulator - (\S.*)")

MELT: dict[str, Any] = {
    "x": {"type": "integer", "minimum": 1, "maximum": 200, "default": 2, "title": "Repetitions along x"},
    "y": {"type": "integer", "minimum": 1, "maximum": 200, "default": 2, "title": "Repetitions along y"},
    "z": {"type": "integer", "minimum": 1, "maximum": 200, "default": 2, "title": "Repetitions along z"},
    "steps": {"type": "integer", "minimum": 1, "maximum": 100_000_000, "default": 100, "title": "Time steps"},
    "seed": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1, "default": 1, "title": "Seed"},
}


def thermo_pictures(step: Step, folder: Path, results: Results) -> Report:
    """Draw temperature, energy and pressure of the last run against the step. Raises StepRefused if there is no table."""
    if "thermo" not in results.tables:
        raise StepRefused(f"{LOG} has no table of thermodynamic output (thermo_style one, custom)")
    table = results.tables["thermo"]
    names = list(table.columns)
    files = []
    for name in ("Temp", next((one for one in ENERGIES if one in names), ""), "Press"):
        if name in names:
            place = names.index(name)
            curve = Curve(
                "", [float(row[0] or 0) for row in table.rows], [float(row[place] or 0) for row in table.rows]
            )
            unit = table.columns[name]
            files.append(f"thermo-{name.lower()}.png")
            draw(folder / files[-1], [curve], x="step", y=f"{name}, {unit}" if unit else name)
    return Report(files=tuple(files))


class Lammps(Program):
    """One run of LAMMPS."""

    name = "lammps"
    title = "LAMMPS"
    description = "Molecular dynamics: a melt of Cu-Zr, or an input that the site installed."
    needs_structure = False
    streams = (STREAM,)
    analyses = (
        Analysis(
            "thermo", "Thermodynamic output", "Temperature, energy and pressure of the last run.", thermo_pictures
        ),
    )

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options
        given = options.get("input")
        self._input = INPUTS / "melt.in" if given is None else Path(str(given))
        self._parameters: dict[str, Any] = dict(MELT if given is None else options.get("parameters") or {})
        self._files = [Path(str(one)) for one in options.get("files") or []]
        self._variables: dict[str, str] = {}
        try:
            if given is None:
                self._files.append(potentials() / POTENTIAL)
                self._variables["potential"] = POTENTIAL
            self._words = [str(word) for word in options.get("command") or [_lmp(site)]]
        except LammpsNotFound as error:
            raise ProgramUnavailable(str(error)) from None
        for path in (self._input, *self._files):
            if not path.is_file():
                raise ProgramUnavailable(f"{path} is missing: expected a file (options input and files)")
        for name in self._parameters:
            if not _NAME.fullmatch(name):
                raise ProgramUnavailable(f"parameters has {name!r}: expected a name of a LAMMPS variable")
        self.title = str(options.get("title", self.title))  # type: ignore[misc]
        self.description = str(options.get("description", self.description))  # type: ignore[misc]
        try:
            check_schema(self.schema())
        except ValueError as error:
            raise ProgramUnavailable(f"parameters in the agent's file: {error}") from None

    def version(self) -> str:
        return printed_version(self.site, self._words, ["-h"], _version, "LAMMPS")

    def schema(self) -> dict[str, Any]:
        required = [name for name, rule in self._parameters.items() if "default" not in rule]
        return {
            "type": "object", "properties": self._parameters, "required": required, "additionalProperties": False,
        }  # fmt: skip

    def prepare(self, step: Step, folder: Path) -> None:
        self._given(step)
        (folder / INPUT).write_bytes(self._input.read_bytes())
        for path in self._files:
            if self.site.container.runtime == "none":
                (folder / path.name).symlink_to(path)
            else:
                copy_checked(path, folder / path.name)  # a container sees the agent's root only

    def command(self, step: Step, folder: Path) -> list[str]:
        words = [*self._words, "-in", INPUT, "-log", LOG, "-screen", "none"]
        for name, value in {**self._given(step), **self._variables}.items():
            words += ["-v", name, value]  # each needs its own -v
        command = self.site.command(words, step, folder)
        if command[0] == "mpiexec" and self.site.container.runtime == "none":
            # The MPI that this LAMMPS was built with, if it came with one.
            beside = Path(self._words[0]).with_name("mpiexec")
            command[0] = str(beside) if beside.is_file() else command[0]
        return command

    def validate(self, step: Step, folder: Path, exit_code: int | None) -> Verdict:
        try:
            report, thermo = read_log(folder / LOG), read_thermo(folder / LOG)
        except OSError as error:
            return Verdict.failed(
                f"{LOG} can't be read: {error.strerror} (exit code {exit_code}): see output.txt", "stopped"
            )
        if report.failure is not None:
            return Verdict.failed(report.failure, "stopped" if exit_code is None else "")
        if exit_code != 0:
            return Verdict.failed(f"the log is complete, but LAMMPS ended with exit code {exit_code}")
        if not self.site.options.get("atoms_change"):
            counts = [run.atoms for run in report.runs]
            if thermo.lost_atoms or len(set(counts)) > 1:
                return Verdict.failed(f"atoms were lost: the runs ended with {', '.join(map(str, counts))} atoms")
        table = _table(thermo)
        if table is not None and _energy(table) is None:
            return Verdict.failed(
                f"the table of the last run in {LOG} has no energy: expected one of {', '.join(ENERGIES)}"
            )
        return Verdict.done()

    def extract(self, step: Step, folder: Path) -> Results:
        report, thermo = read_log(folder / LOG), read_thermo(folder / LOG)
        units = UNITS.get(thermo.units, {})
        values = {
            "loop time": Value(report.loop_time, "s"), "atoms": Value(report.atoms or 0), "steps": Value(report.steps),
            "processes": Value(report.processes or 1),
        }  # fmt: skip
        tables = {}
        if (run := _table(thermo)) is not None:
            columns = {name: units.get(KINDS.get(name, ""), "") for name in run.columns}
            tables["thermo"] = Table(columns, run.thinned())
            if (energy := _energy(run)) is not None:
                values["energy"] = Value(energy, units.get("energy", ""))
            if "Temp" in run.columns and run.last is not None:
                values["temperature"] = Value(run.last[run.columns.index("Temp")], units.get("temperature", ""))
        return Results(values, tables, observations=[self._observation(step, report)])

    def correct(self, step: Step, folder: Path, verdict: Verdict) -> Correction | None:
        return longer_walltime(step, folder) if verdict.cause == "stopped" else None

    def keep(self, step: Step) -> Keep:
        return Keep(always=(LOG, INPUT, "output.txt"))

    def walltime_features(self, step: Step) -> Mapping[str, Any]:
        return {name: value for name, value in step.settings.items() if _is_number(value) and name != "seed"}

    def _given(self, step: Step) -> dict[str, str]:
        given = {}
        for name, value in step.settings.items():
            text = str(value)
            if not _TEXT.fullmatch(text):
                raise StepRefused(
                    f"{name} is {text[:60]!r}: expected a number, or a word of letters, digits and _ . + - for LAMMPS"
                )
            given[name] = text
        return given

    def _observation(self, step: Step, report: LogReport) -> Observation:
        x = {**self.walltime_features(step), "processes": report.processes or 1}
        source = {"version": report.version or "", "input": self._input.name}
        stream = str(self.site.options.get("stream", STREAM))
        return Observation(stream, "loop-time", x, report.loop_time, "s", source)


def _lmp(site: Site) -> str:
    """Return the LAMMPS program: of the image in a container, else of this machine. Raises LammpsNotFound."""
    return str(program("lmp")) if site.container.runtime == "none" else "lmp"


def _version(path: Path) -> str:
    found = (_VERSION.match(line) for line in lines(path))
    return next((one[1].strip() for one in found if one is not None), "")


def _table(thermo: Thermo) -> ThermoRun | None:
    return next((run for run in reversed(thermo.runs) if run.last is not None), None)


def _energy(run: ThermoRun) -> float | None:
    place = next((run.columns.index(name) for name in ENERGIES if name in run.columns), None)
    return None if place is None or run.last is None else run.last[place]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
