"""Reads the report of SIESTA 4.0, 4.1 and 5: whether it converged, finished, and where its density matrix came from.

The lines are those that the manuals and the sources of these versions have. No real SIESTA could be run where this was
written.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from lammps_jobs.programs.text_lines import lines

__all__ = ["SiestaReport", "read_report"]

_VERSION = re.compile(r"(?:Siesta Version\s*:|Version\s+:)\s*(?:siesta-)?v?(\S+)", re.IGNORECASE)
_ITERATION = re.compile(r"\s*(?:scf|siesta):\s+(\d+)\s+(-?\d+\.\d+\s+.*)$")
_ENERGY = re.compile(r"siesta:\s+(?:E_KS\(eV\)|Total)\s*=\s*(\S+)")
_DIPOLE = re.compile(r"siesta: Electric dipole \(a\.u\.\)\s*=\s*(.*)")


@dataclass
class SiestaReport:
    """What a report says.

    Attributes
    ----------
    version
        Version of SIESTA; empty if this is no report of it.
    iterations
        Number of the last iteration of the last self-consistent field.
    change
        Largest change of the density matrix in that iteration; None if it is not printed.
    achieved, not_achieved
        The lines that say that the last self-consistent field converged, or that one did not; empty if there is none.
    relaxed, unrelaxed
        Whether the final coordinates are said to be relaxed, or not.
    geometry_not_converged
        The line that says that the geometry did not converge.
    energy
        Last total energy, eV.
    dipole
        Electric dipole, atomic units; None for a bulk.
    stopped
        The line with which SIESTA stopped; empty if it did not.
    out_of_time
        Whether it stopped at ``MaxWalltime``.
    done
        Whether the report says that the job completed.
    start
        ``density`` if the density matrix was read from a file, ``atoms`` if not, or empty if the report does not say it.
    """

    version: str = ""
    iterations: int = 0
    change: float | None = None
    achieved: str = ""
    not_achieved: str = ""
    relaxed: bool = False
    unrelaxed: bool = False
    geometry_not_converged: str = ""
    energy: float | None = None
    dipole: tuple[float, ...] | None = None
    stopped: str = ""
    out_of_time: bool = False
    done: bool = False
    start: str = ""


def read_report(path: Path) -> SiestaReport:
    """Read a report. Raises OSError if it can't be read."""
    report, tried = SiestaReport(), False
    for line in lines(path):
        if not report.version:
            if (found := _VERSION.match(line.strip())) is not None:
                report.version = found[1]
            continue
        text = line.strip()
        if text.startswith("Attempting to read DM"):
            tried = True
        _start(report, text, tried)
        _scf(report, line, text)
        _end(report, text)
    return report


def _start(report: SiestaReport, text: str, tried: bool) -> None:
    if tried and ("Succeeded" in text or text.startswith("DMread after reading file")) and not report.iterations:
        report.start = "density"
    elif (
        "Falling back to atomic initialization" in text
        or (tried and text.endswith("Failed..."))
        or "filling with atomic data" in text
        or text.startswith("DM initialized from atoms")
    ):
        report.start = "atoms"


def _scf(report: SiestaReport, line: str, text: str) -> None:
    if (found := _ITERATION.match(line)) is not None:
        numbers = _numbers(found[2])
        if len(numbers) >= 4:
            if int(found[1]) == 1:
                report.achieved = ""
            report.iterations, report.change = int(found[1]), numbers[3]
    elif text.startswith(("SCF Convergence by", "SCF cycle converged after")):
        report.achieved = text
    elif text.startswith(("SCF_NOT_CONV", "WARNING: SCF_NOT_CONV", "FATAL: SCF_NOT_CONV", "SCF cycle not converged")):
        report.not_achieved = report.not_achieved or text
        report.out_of_time = report.out_of_time or "wall time" in text
    elif (found := _ENERGY.match(text)) is not None:
        energy = _numbers(found[1])
        report.energy = energy[0] if energy else math.nan
    elif (found := _DIPOLE.match(text)) is not None:
        dipole = tuple(_numbers(found[1]))
        report.dipole = dipole if len(dipole) == 3 else None


def _end(report: SiestaReport, text: str) -> None:
    if text.startswith("outcoor: Relaxed atomic coordinates"):
        report.relaxed = True
    elif text.startswith("outcoor: Final (unrelaxed) atomic coordinates"):
        report.unrelaxed = True
    elif "GEOM_NOT_CONV" in text:
        report.geometry_not_converged = text
        report.out_of_time = report.out_of_time or "wall time" in text
    elif "OUT_OF_TIME" in text:
        report.out_of_time = True
    elif text.startswith(("Stopping Program", "ABNORMAL_TERMINATION", "ERROR STOP")) or ": ERROR:" in text:
        report.stopped = report.stopped or text
    elif text.startswith((">> End of run:", "Job completed")):
        report.done = True


def _numbers(text: str) -> list[float]:
    numbers = []
    for word in text.split():
        try:
            number = float(word)
        except ValueError:
            break
        numbers.append(number)
    return numbers
