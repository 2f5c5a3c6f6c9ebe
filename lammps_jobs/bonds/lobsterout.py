"""Whether a report of LOBSTER (``lobsterout``) tells of a calculation that finished and whose projection holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lammps_jobs.bonds.errors import Refused

__all__ = ["CHARGE_SPILLING", "TOTAL_SPILLING", "LobsterReport", "check_report"]

CHARGE_SPILLING, TOTAL_SPILLING = 5.0, 25.0
"""Percent. Charge spilling is the share of the occupied states that the local basis misses: past a few percent the
basis lacks functions, and bond energies are too small. The total, over empty states too, grows with the number of
bands, so that its bound only catches a basis of another element or none. A reference cell has 1.44 and 4.03."""

_VERSION = re.compile(r"LOBSTER\s+v(\d+(?:\.\d+)*)")
_INTERACTIONS = re.compile(r"setting up CO interactions\.*\s*found\s+(\d+)\s+interaction")
_SPILLING = re.compile(r"\s*abs\.\s+(total|charge)\s+spilling:\s*(\S+?)\s*%")
_SECOND_SPIN = re.compile(r"\s*spillings for spin channel 2")
_FINISHED = re.compile(r"\s*finished in\s+\d")


@dataclass(frozen=True)
class LobsterReport:
    """What a report says.

    Attributes
    ----------
    version
        Of LOBSTER, such as ``3.0.0``.
    interactions
        How many bonds it found; None where it doesn't say.
    charge_spilling, total_spilling
        Absolute, in percent, the larger one of two spins.
    spins
        2 for a spin-polarised calculation.
    """

    version: str
    interactions: int | None
    charge_spilling: float
    total_spilling: float
    spins: int


def check_report(
    path: Path, *, charge_spilling: float = CHARGE_SPILLING, total_spilling: float = TOTAL_SPILLING
) -> LobsterReport:
    """Refuse a calculation that stopped with an error or early, or that spills more than the bounds (percent).

    Raises
    ------
    Refused
        With the line and what is wrong.
    OSError
        If it can't be read.
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
                        "functions in lobsterin don't describe what the plane waves do)",
                        path,
                        number,
                    )
            elif _SECOND_SPIN.match(line):
                spins = 2
            elif _FINISHED.match(line):
                finished = True
    if not version:
        raise Refused("this is no report of LOBSTER: no line says 'LOBSTER v…'", path)
    if not finished:
        raise Refused("LOBSTER did not finish: the report ends without 'finished in …'", path, number)
    if missing := {"charge", "total"} - set(spilling):
        raise Refused(f"LOBSTER does not say its absolute {' and '.join(sorted(missing))} spilling", path, number)
    return LobsterReport(version, interactions, spilling["charge"], spilling["total"], spins)


def _percent(text: str, path: Path, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refused(f"the spilling is {text!r}: expected a number of percent", path, line) from None
