"""Check of a LOBSTER report (``lobsterout``): the calculation finished and its spilling is small."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lammps_jobs.bonds.errors import Refused

__all__ = ["CHARGE_SPILLING", "TOTAL_SPILLING", "LobsterReport", "check_report"]

CHARGE_SPILLING, TOTAL_SPILLING = 5.0, 25.0
"""Largest spillings, %. Charge spilling is the share of the occupied states that the local basis does not represent.
Above a few percent the basis lacks functions, and bond energies are too small. The total also covers empty states and
grows with the number of bands, so its limit only detects a missing basis or one of another element. A reference cell
has 1.44 and 4.03."""

_VERSION = re.compile(r"LOBSTER\s+v(\d+(?:\.\d+)*)")
_INTERACTIONS = re.compile(r"setting up CO interactions\.*\s*found\s+(\d+)\s+interaction")
_SPILLING = re.compile(r"\s*abs\.\s+(total|charge)\s+spilling:\s*(\S+?)\s*%")
_SECOND_SPIN = re.compile(r"\s*spillings for spin channel 2")
_FINISHED = re.compile(r"\s*finished in\s+\d")


@dataclass(frozen=True)
class LobsterReport:
    """Content of a report.

    Attributes
    ----------
    version
        Version of LOBSTER, such as ``3.0.0``.
    interactions
        Number of bonds found; None if the report doesn't give it.
    charge_spilling, total_spilling
        Absolute spilling, %: the larger one of two spins.
    spins
        2 for a spin-polarised calculation, otherwise 1.
    """

    version: str
    interactions: int | None
    charge_spilling: float
    total_spilling: float
    spins: int


def check_report(
    path: Path, *, charge_spilling: float = CHARGE_SPILLING, total_spilling: float = TOTAL_SPILLING
) -> LobsterReport:
    """Refuse a calculation that stopped early or with an error, or whose spilling exceeds the limits (%).

    Raises
    ------
    Refused
        With the line and the reason.
    OSError
        If the report can't be read.
    """
    version, interactions, finished, number = "", None, False, 0
    bounds = {"charge": charge_spilling, "total": total_spilling}
    spilling: dict[str, float] = {}
    spins = 1
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if (found := _VERSION.match(line)) is not None:
                version, interactions, finished, spilling, spins = found[1], None, False, {}, 1
            elif line.startswith("ERROR"):
                raise Refused(f"LOBSTER stopped with {line.strip()}", path, number)
            elif (found := _INTERACTIONS.search(line)) is not None:
                interactions = int(found[1])
            elif (found := _SPILLING.match(line)) is not None:
                kind, share = found[1], _percent(found[2], path, number)
                spilling[kind] = max(share, spilling.get(kind, 0.0))
                if not share <= bounds[kind]:
                    raise Refused(
                        f"the absolute {kind} spilling is {share:g} %: expected at most {bounds[kind]:g} % (the basis "
                        "functions in lobsterin don't represent the plane waves well)",
                        path,
                        number,
                    )
            elif _SECOND_SPIN.match(line):
                spins = 2
            elif _FINISHED.match(line):
                finished = True
    if not version:
        raise Refused("this is not a report of LOBSTER: no line has 'LOBSTER v…'", path)
    if not finished:
        raise Refused("LOBSTER did not finish: the report ends without 'finished in …'", path, number)
    if missing := {"charge", "total"} - set(spilling):
        raise Refused(f"the report lacks the absolute {' and '.join(sorted(missing))} spilling", path, number)
    return LobsterReport(version, interactions, spilling["charge"], spilling["total"], spins)


def _percent(text: str, path: Path, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refused(f"the spilling is {text!r}: expected a number of percent", path, line) from None
