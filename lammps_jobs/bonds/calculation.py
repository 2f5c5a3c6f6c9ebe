"""A directory that should hold one labeled cell: checked as a whole before anything of it is used.

The cell's name is its directory's, by custom ``<composition>-<run>-<subrun>`` as in ``Zr49Cu49Al2-21-00``.

======================  ==================================================================  ===========
file                    what is checked                                                     must be there
======================  ==================================================================  ===========
``structure.xyz``       whole, periodic, known elements, no two atoms in one place          yes
``ICOHPLIST.lobster``   whole, every bond once                                              yes
``*scf.out``            Quantum ESPRESSO converged and finished, with as many atoms         no
``lobsterout``,         LOBSTER finished, spills within bounds, and announced as many       no
``*lb.out``             bonds as are listed
``labels.json``         with labels of our own: as many bonds as are listed                 no
======================  ==================================================================  ===========
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from lammps_jobs.bonds import structures
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.espresso import check_output
from lammps_jobs.bonds.icohplist_reader import Reader
from lammps_jobs.bonds.lobsterout import CHARGE_SPILLING, TOTAL_SPILLING, LobsterReport, check_report
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["LABELS", "ORIGIN", "STRUCTURE", "Calculation", "check"]

STRUCTURE, LABELS, ORIGIN = "structure.xyz", "ICOHPLIST.lobster", "labels.json"


@dataclass(frozen=True)
class Calculation:
    """One labeled cell that may be used.

    Attributes
    ----------
    name
        Its directory's.
    structure
        Periodic, Å, atoms in the order that labels count them in.
    bonds
        All that the label file lists.
    method
        What the labels are made by, such as ``LOBSTER 3.0.0 on Quantum ESPRESSO 6.2`` or ``GFN1-xTB``; ``LOBSTER``
        alone where no report is there.
    charge_spilling, total_spilling
        LOBSTER's, in percent; None where no report is there.
    files
        All that were read: those that the cell's checksums are of.
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
    """Read a cell's directory, and refuse it whole if anything about it is wrong.

    What Quantum ESPRESSO and LOBSTER report is looked at first, since a label file that is missing or short has its
    reason there. Whether the labels fit the structure is for `matching.match` to say.

    Parameters
    ----------
    directory
        See the table above.
    charge_spilling, total_spilling
        The most of LOBSTER's absolute spilling that is accepted, in percent.

    Raises
    ------
    Refused
        With the file, the line where there is one, and the reason; never half a cell.
    OSError
        If a file can't be read.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise Refused("there is no such directory: expected one with a cell's files", directory)
    path, labels = directory / STRUCTURE, directory / LABELS
    if not path.is_file():
        raise Refused(f"there is no {STRUCTURE} in it", directory)
    structure = structures.read(path)
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
                f"it has energies for spin {'1 only' if reader.spins == 1 else '1 and 2'}, and {source.name} tells of "
                f"{report.spins}: it is not whole, or of another calculation",
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
        raise Refused(f"it lists {listed} bonds, and {source.name} announced {announced}: it is not whole", labels)


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
