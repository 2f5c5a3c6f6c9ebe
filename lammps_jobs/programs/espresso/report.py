"""Reads the report of pw.x, of any size: whether it converged, finished, and where its density came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lammps_jobs.programs.text_lines import lines

__all__ = ["PwReport", "read_report"]

_START = re.compile(r"\s*Program PWSCF v\.?(\S+)")
_ITERATION = re.compile(r"\s*iteration #\s*(\d+)")
_ERROR = re.compile(r"\s*Error in routine\s+(.*\S)")
_NOT_ACHIEVED = re.compile(r"\s*convergence NOT achieved")
_EIGENVALUES = re.compile(r"\s*c_bands:\s*(\d+) eigenvalues not converged")


@dataclass
class PwReport:
    """What a report says. If the file holds several runs, the last one counts.

    Attributes
    ----------
    version
        Version of pw.x; empty if this is no report of it.
    iterations
        Number of the last iteration of the self-consistent field.
    achieved
        Whether the last self-consistent field converged.
    not_achieved
        The line that says that one did not; empty if there is none.
    bands
        Whether a band structure calculation ended.
    unconverged_bands
        Whether eigenvalues did not converge after the last iteration.
    relaxed
        Whether a relaxation converged.
    error
        The routine that stopped with an error; empty if none did.
    out_of_time
        Whether it stopped at ``max_seconds``.
    done
        Whether the report ends with ``JOB DONE.``. That alone says nothing about convergence.
    start
        ``density`` if the initial density was read from a file, ``atoms`` for a superposition of atoms, or empty.
    """

    version: str = ""
    iterations: int = 0
    achieved: bool = False
    not_achieved: str = ""
    bands: bool = False
    unconverged_bands: bool = False
    relaxed: bool = False
    error: str = ""
    out_of_time: bool = False
    done: bool = False
    start: str = ""


def read_report(path: Path) -> PwReport:
    """Read a report. Raises OSError if it can't be read."""
    report = PwReport()
    for line in lines(path):
        if (found := _START.match(line)) is not None:
            report = PwReport(version=found[1])
        elif report.version:
            _line(report, line)
    return report


def _line(report: PwReport, line: str) -> None:
    text = line.strip()
    if (found := _ITERATION.match(line)) is not None:
        report.iterations, report.achieved, report.unconverged_bands = int(found[1]), False, False
    elif _EIGENVALUES.match(line):
        report.unconverged_bands = True
    elif (found := _ERROR.match(line)) is not None:
        report.error = report.error or found[1]
    elif _NOT_ACHIEVED.match(line):
        report.not_achieved = report.not_achieved or text
    elif text.startswith("convergence has been achieved"):
        report.achieved = True
    elif text.startswith("End of band structure calculation"):
        report.bands = True
    elif text.startswith(("bfgs converged in", "Final energy", "Final enthalpy")):
        report.relaxed = True
    elif text.startswith("Maximum CPU time exceeded"):
        report.out_of_time = True
    elif text.startswith("JOB DONE."):
        report.done = True
    elif text.startswith(("The initial density is read from file", "The potential is recalculated from file")):
        report.start = "density"
    elif "superposition of free atoms" in text:
        report.start = "atoms"
