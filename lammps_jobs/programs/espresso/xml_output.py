"""Reads ``data-file-schema.xml`` of pw.x (Quantum ESPRESSO 6.3 and later)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

__all__ = ["KPoint", "PwXml", "UnusableXml", "read_xml"]

HARTREE = 27.211386245988  # eV, CODATA 2018
BOHR = 0.529177210903  # Å, CODATA 2018
LARGEST = 1 << 26


class UnusableXml(Exception):
    """The file is missing, cut off, or is not the XML of pw.x. The message says which."""


@dataclass(frozen=True)
class KPoint:
    """One k-point: its position in units of 2π/a, its weight, and its eigenvalues in eV with their occupations."""

    position: tuple[float, ...]
    weight: float
    energies: tuple[float, ...]
    occupations: tuple[float, ...]


@dataclass
class PwXml:
    """What the XML says.

    Attributes
    ----------
    version
        Version of pw.x.
    scf
        Whether the last self-consistent field converged, and its error in Ry. None: not said.
    scf_steps
        Iterations of it.
    relaxed
        Whether a relaxation converged; None if there was none.
    energy, fermi
        Total energy, and Fermi energy or highest occupied level, eV.
    forces
        One row for each atom, eV/Å.
    dipole
        Dipole along the direction of the field, e Å; None without a field.
    positions, cell
        Elements with positions, and the three vectors of the cell, Å, at the end.
    kpoints
        The k-points with their eigenvalues.
    exit_status
        Exit status that pw.x wrote; None if it is missing.
    """

    version: str = ""
    scf: bool | None = None
    scf_error: float | None = None
    scf_steps: int = 0
    relaxed: bool | None = None
    energy: float | None = None
    fermi: float | None = None
    lattice_length: float | None = None
    forces: list[list[float]] = field(default_factory=list)
    dipole: float | None = None
    positions: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    cell: list[tuple[float, ...]] = field(default_factory=list)
    kpoints: list[KPoint] = field(default_factory=list)
    exit_status: int | None = None


def read_xml(path: Path) -> PwXml:
    """Read the ``output`` part of the file.

    Raises
    ------
    UnusableXml
        If it is missing, too large, cut off, or has a number that can't be read.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise UnusableXml(f"{path.name} has {size} bytes: expected at most {LARGEST}")
        return _read(path)
    except FileNotFoundError:
        raise UnusableXml(f"{path.name} is missing") from None
    except OSError as error:
        raise UnusableXml(f"{path.name} can't be read: {error.strerror}") from None
    except (ParseError, UnicodeDecodeError) as error:
        raise UnusableXml(f"{path.name} is cut off or is not XML: {error}") from None
    except (ValueError, IndexError) as error:
        raise UnusableXml(f"{path.name} has a value that can't be read: {error}") from None


def _read(path: Path) -> PwXml:
    found, is_espresso = PwXml(), False
    # pw.x wrote it in the step's own folder, its size is limited, and expat refuses entities that grow.
    for _, element in iterparse(path, events=("end",)):  # noqa: S314
        name = element.tag.rpartition("}")[2]
        if name == "creator":
            is_espresso = element.get("NAME", "") == "PWSCF"
            found.version = element.get("VERSION", "")
        elif name == "output":
            _output(found, element)
            element.clear()
        elif name in ("input", "step"):
            element.clear()
        elif name in ("status", "exit_status") and element.text:
            found.exit_status = int(element.text)
    if not is_espresso:
        raise UnusableXml(f"{path.name} is not the XML of pw.x")
    return found


def _output(found: PwXml, output: Element) -> None:
    if (text := output.findtext("convergence_info/scf_conv/convergence_achieved")) is not None:
        found.scf = text.strip() == "true"
        found.scf_steps = int(output.findtext("convergence_info/scf_conv/n_scf_steps") or 0)
        # In Hartree, whatever its name says: twice as many Ry.
        found.scf_error = 2 * float(output.findtext("convergence_info/scf_conv/scf_error") or 0.0)
    if (text := output.findtext("convergence_info/opt_conv/convergence_achieved")) is not None:
        found.relaxed = text.strip() == "true"
    structure = output.find("atomic_structure")
    if structure is not None:
        atoms = structure.findall("atomic_positions/atom")
        found.positions = [
            (_element(one.get("name", "")), tuple(x * BOHR for x in _numbers(one.text))) for one in atoms
        ]
        found.cell = [
            tuple(x * BOHR for x in _numbers(structure.findtext(f"cell/{name}"))) for name in ("a1", "a2", "a3")
        ]
        if structure.get("alat"):
            found.lattice_length = float(structure.get("alat", "")) * BOHR
    if (text := output.findtext("total_energy/etot")) is not None:
        found.energy = _numbers(text)[0] * HARTREE
    bands = output.find("band_structure")
    if bands is not None:
        for name in ("fermi_energy", "highestOccupiedLevel"):
            if (text := bands.findtext(name)) is not None:
                found.fermi = _numbers(text)[0] * HARTREE
        found.kpoints = [_kpoint(one) for one in bands.findall("ks_energies")]
    if (text := output.findtext("forces")) is not None:
        flat = [x * HARTREE / BOHR for x in _numbers(text)]
        found.forces = [flat[start : start + 3] for start in range(0, len(flat), 3)]
    if (text := output.findtext("electric_field/dipoleInfo/dipole")) is not None:
        found.dipole = _numbers(text)[0] * BOHR


def _kpoint(element: Element) -> KPoint:
    point = element.find("k_point")
    if point is None:
        raise ValueError("a k-point without its position")
    return KPoint(
        tuple(_numbers(point.text)),
        float(point.get("weight", "0")),
        tuple(x * HARTREE for x in _numbers(element.findtext("eigenvalues"))),
        tuple(_numbers(element.findtext("occupations"))),
    )


def _element(name: str) -> str:
    return name.rstrip("0123456789_")


def _numbers(text: str | None) -> list[float]:
    numbers = [float(word) for word in (text or "").split()]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number is not finite")
    return numbers
