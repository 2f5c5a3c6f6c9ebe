"""Reads the directory of one labeled cell, and checks all its files before any of them is used.

The directory's name is the cell's name, usually ``<composition>-<run>-<subrun>``, such as ``Zr49Cu49Al2-21-00``.

======================  ==================================================================  ===========
file                    what is checked                                                     required
======================  ==================================================================  ===========
``structure.xyz``       complete, periodic, known elements, no overlapping atoms            yes
``ICOHPLIST.lobster``   complete, every bond once                                           yes
``*scf.out``            Quantum ESPRESSO converged and finished; number of atoms, spins     no
``lobsterout``,         LOBSTER finished; spilling within limits; number of bonds           no
``*lb.out``
``labels.json``         for labels from tblite: number of bonds                             no
======================  ==================================================================  ===========
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.espresso import check_output, has_two_spins
from lammps_jobs.bonds.labels.icohplist_reader import Reader
from lammps_jobs.bonds.labels.lobsterout import CHARGE_SPILLING, TOTAL_SPILLING, LobsterReport, check_report
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["LABELS", "ORIGIN", "STRUCTURE", "Calculation", "check"]

STRUCTURE, LABELS, ORIGIN = "structure.xyz", "ICOHPLIST.lobster", "labels.json"


@dataclass(frozen=True)
class Calculation:
    """One labeled cell that passed all checks.

    Attributes
    ----------
    name
        Name of its directory.
    structure
        Periodic, in Å. The atoms are in the order in which the labels number them.
    bonds
        All bonds of the label file.
    method
        How the labels were calculated, such as ``LOBSTER 3.0.0 on Quantum ESPRESSO 6.2`` or ``GFN1-xTB``; only
        ``LOBSTER`` if there is no report.
    charge_spilling, total_spilling
        Spilling that LOBSTER reports, %; None if there is no report.
    files
        All files that were read. The cell's checksums are those of these files.
    """

    name: str
    structure: Atoms
    bonds: list[LabeledBond]
    method: str
    charge_spilling: float | None
    total_spilling: float | None
    files: tuple[Path, ...]


def check(
    directory: str | Path, *, charge_spilling: float = CHARGE_SPILLING, total_spilling: float = TOTAL_SPILLING
) -> Calculation:
    """Read a cell's directory, and refuse the whole cell if anything is wrong.

    The reports of Quantum ESPRESSO and LOBSTER are checked first, because they explain why a label file is missing or
    incomplete. `matching.match` checks that the labels fit the structure.

    Parameters
    ----------
    directory
        Directory with the files in the table above.
    charge_spilling, total_spilling
        Largest absolute spilling of LOBSTER that is accepted, %.

    Raises
    ------
    Refused
        With the file, the line if there is one, and the reason.
    OSError
        If a file can't be read.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise Refused("there is no such directory: expected one with a cell's files", directory)
    path, labels = directory / STRUCTURE, directory / LABELS
    if not path.is_file():
        raise Refused(f"there is no {STRUCTURE} in it", directory)
    structure = structure_files.read(path)
    outputs = sorted(directory.glob("*scf.out"))
    versions = [check_output(output, len(structure)) for output in outputs]
    written = sorted({*directory.glob("lobsterout"), *directory.glob("*lb.out")})
    reports = [
        check_report(report, charge_spilling=charge_spilling, total_spilling=total_spilling) for report in written
    ]
    if not labels.is_file():
        raise Refused(f"there is no {LABELS} in it: the bonds have no labels", directory)
    reader = Reader(labels)
    with open(labels, encoding="ascii", errors="replace", newline="") as file:
        bonds = reader.read(file)
    for report, source in zip(reports, written, strict=True):
        _as_many(reader.count, report.interactions, labels, source)
        if report.spins != reader.spins:
            raise Refused(
                f"it has energies for spin {'1 only' if reader.spins == 1 else '1 and 2'}, but {source.name} reports "
                f"{report.spins}: the file is incomplete, or from another calculation",
                labels,
            )
    for output in outputs:
        if reader.spins == 1 and has_two_spins(output):
            raise Refused(
                f"it has energies for spin 1 only, but {output.name} is spin-polarised: the file is incomplete, or from "
                "another calculation",
                labels,
            )
    files = [path, labels, *outputs, *written]
    method = _method(versions, reports)
    if (origin := directory / ORIGIN).is_file():
        method = _own(origin, reader.count, labels)
        files.append(origin)
    last = reports[-1] if reports else None
    return Calculation(
        name=directory.resolve().name,
        structure=structure,
        bonds=bonds,
        method=method,
        charge_spilling=None if last is None else last.charge_spilling,
        total_spilling=None if last is None else last.total_spilling,
        files=tuple(files),
    )


def _as_many(listed: int, announced: int | None, labels: Path, source: Path) -> None:
    if announced is not None and listed != announced:
        raise Refused(
            f"it lists {listed} bonds, but {source.name} announced {announced}: the file is incomplete", labels
        )


def _method(versions: list[str], reports: list[LobsterReport]) -> str:
    lobster = f"LOBSTER {reports[-1].version}" if reports else "LOBSTER"
    return f"{lobster} on Quantum ESPRESSO {versions[-1]}" if versions else lobster


def _own(origin: Path, listed: int, labels: Path) -> str:
    try:
        said: Any = json.loads(origin.read_text(encoding="utf-8"))
        method, announced = said["method"], said["bonds"]
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(f"expected a JSON object with 'method' and 'bonds': {error!r}", origin) from error
    if not isinstance(method, str) or not isinstance(announced, int):
        raise Refused(f"expected a text as 'method' and a number as 'bonds', found {method!r}, {announced!r}", origin)
    _as_many(listed, announced, labels, origin)
    return method
