"""Check of a Quantum ESPRESSO output (``pw.x``): the calculation converged and finished."""

from __future__ import annotations

import re
from pathlib import Path

from lammps_jobs.bonds.errors import Refused

__all__ = ["check_output", "has_two_spins"]

_START = re.compile(r"\s*Program (\S+) v\.?(\S+)")
_ATOMS = re.compile(r"\s*number of atoms/cell\s*=\s*(\d+)")
_ITERATION = re.compile(r"\s*iteration #\s*(\d+)")
_ACHIEVED = re.compile(r"\s*convergence has been achieved")
_NOT_ACHIEVED = re.compile(r"\s*convergence NOT achieved")
_ERROR = re.compile(r"\s*Error in routine\s+(.*\S)")
_BANDS = re.compile(r"\s*End of band structure calculation")
_SPINS = re.compile(r"\s*total magnetization\s*=\s*\S+\s+Bohr mag/cell")
_DONE = re.compile(r"\s*JOB DONE\.")


def check_output(path: Path, atoms: int) -> str:
    """Refuse a calculation that stopped with an error, did not converge, or was ended early.

    Parameters
    ----------
    path
        Output of ``pw.x``. If the file contains several runs, the last one counts. Output of other programs of Quantum
        ESPRESSO, such as ``projwfc.x``, does not count.
    atoms
        Number of atoms in the structure.

    Returns
    -------
    str
        The version of Quantum ESPRESSO, such as ``6.2``.

    Raises
    ------
    Refused
        With the line and what happened there.
    OSError
        If it can't be read.
    """
    version, number, iteration, stands, converged, done, listed = "", 0, 0, 0, False, False, atoms
    failed: Refused | None = None
    is_other = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if (found := _START.match(line)) is not None:
                is_other = found[1] != "PWSCF"
                if not is_other:
                    version, iteration, converged, done, listed, failed = found[2], 0, False, False, atoms, None
            elif is_other:
                continue
            elif (found := _ITERATION.match(line)) is not None:
                iteration, stands, converged = int(found[1]), number, False
            elif (found := _ERROR.match(line)) is not None:
                failed = failed or Refused(
                    f"Quantum ESPRESSO stopped with an error in routine {found[1]}", path, number
                )
            elif _NOT_ACHIEVED.match(line):
                failed = failed or Refused(f"Quantum ESPRESSO did not converge: {line.strip()}", path, number)
            elif (found := _ATOMS.match(line)) is not None:
                listed = int(found[1])
            elif _ACHIEVED.match(line) or _BANDS.match(line):
                converged = True
            elif _DONE.match(line):
                done = True
    if failed is not None:
        raise failed
    if not version:
        raise Refused("this is not an output of Quantum ESPRESSO: no line has 'Program PWSCF'", path)
    if listed != atoms:
        raise Refused(f"Quantum ESPRESSO calculated {listed} atoms, but the structure has {atoms}", path)
    if not converged:
        where = f"it stops in iteration {iteration}" if iteration else "it stops before the first iteration"
        raise Refused(
            f"Quantum ESPRESSO did not converge: {where} of the self-consistent field, and no line after it has "
            "'convergence has been achieved'",
            path,
            stands or number,
        )
    if not done:
        raise Refused("Quantum ESPRESSO did not finish: the output ends without 'JOB DONE.'", path, number)
    return version


def has_two_spins(path: Path) -> bool:
    """Whether the last run of ``pw.x`` in an output is spin-polarised (``nspin = 2``). Raises OSError like `check_output`."""
    two = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if (found := _START.match(line)) is not None and found[1] == "PWSCF":
                two = False
            elif _SPINS.match(line):
                two = True
    return two
