"""Reads the thermodynamic output of LAMMPS logs: the table of each run, thinned out where it is long."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["MOST_ROWS", "Thermo", "ThermoRun", "read_thermo"]

MOST_ROWS = 2000
LONGEST_LINE = 1 << 16
_UNITS = re.compile(rb"\s*units\s+(\w+)")
_LOST = re.compile(rb"WARNING: Lost atoms")


@dataclass
class ThermoRun:
    """The table of one run.

    Attributes
    ----------
    columns
        Names as LAMMPS prints them, such as ``Step``, ``Temp``, ``TotEng``.
    rows
        Every `stride`-th row, and the last one.
    stride
        1 unless the table had more than `MOST_ROWS` rows.
    """

    columns: list[str]
    rows: list[list[float]] = field(default_factory=list)
    stride: int = 1
    last: list[float] | None = None
    count: int = 0

    def add(self, row: list[float]) -> None:
        """Add a row. If there are too many, keep every second one."""
        if self.count % self.stride == 0:
            self.rows.append(row)
            if len(self.rows) > MOST_ROWS:
                self.rows, self.stride = self.rows[::2], 2 * self.stride
        self.count, self.last = self.count + 1, row

    def thinned(self) -> list[list[float]]:
        """Return the kept rows, with the last one."""
        if self.last is not None and (not self.rows or self.rows[-1] is not self.last):
            return [*self.rows, self.last]
        return self.rows


@dataclass
class Thermo:
    """The tables of a log.

    Attributes
    ----------
    units
        LAMMPS's style of units, such as ``metal``; empty if the log does not say it.
    runs
        The tables, one for each run that printed one.
    lost_atoms
        Whether LAMMPS warned that atoms were lost.
    """

    units: str = ""
    runs: list[ThermoRun] = field(default_factory=list)
    lost_atoms: bool = False


def read_thermo(path: Path) -> Thermo:
    """Read a log. Memory does not depend on its length. Raises OSError if it can't be read."""
    thermo, run, header_next = Thermo(), None, False
    with open(path, "rb") as file:
        while line := file.readline(LONGEST_LINE):
            if line.startswith(b"Loop time of "):
                run = None
            elif line.startswith((b"Per MPI rank memory", b"Memory usage per processor")):
                run, header_next = None, True
            elif _LOST.match(line):
                thermo.lost_atoms = True
            elif (found := _UNITS.match(line)) is not None and run is None:
                thermo.units = thermo.units or found[1].decode("ascii")
            elif header_next:
                header_next = False
                names = line.decode("utf-8", "replace").split()
                if names[:1] == ["Step"]:
                    run = ThermoRun(names)
                    thermo.runs.append(run)
            elif run is not None:
                row = _row(line, len(run.columns))
                if row is not None:
                    run.add(row)
    return thermo


def _row(line: bytes, width: int) -> list[float] | None:
    words = line.split()
    if len(words) != width:
        return None
    try:
        row = [float(word) for word in words]
    except ValueError:
        return None
    return row if all(map(math.isfinite, row)) else None
