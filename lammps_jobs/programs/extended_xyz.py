"""Reads and writes the structure of a step, without NumPy: an agent must stay small.

The server reads uploads with ASE and stores them as extended XYZ, so this module needs only the columns ``species`` and
``pos``, the lattice and the periodic directions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tailrace.programs import Step, StepRefused

__all__ = ["Atom", "Structure", "extended_xyz", "structure_of"]

_LATTICE = re.compile(r'\bLattice="([^"]*)"', re.IGNORECASE)
_PROPERTIES = re.compile(r'\bProperties="?([^"\s]+)"?', re.IGNORECASE)
_PERIODIC = re.compile(r'\bpbc="([TF])\s+([TF])\s+([TF])"', re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Z][a-z]?")
MOST = 100_000

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Atom:
    """One atom: chemical symbol, and position in Å."""

    symbol: str
    position: Vector


@dataclass(frozen=True)
class Structure:
    """Atoms, and their cell.

    Attributes
    ----------
    atoms
        In the order of the file.
    cell
        Three vectors in Å; None for a molecule without a box.
    periodic
        Whether it repeats along each of them.
    """

    atoms: tuple[Atom, ...]
    cell: tuple[Vector, Vector, Vector] | None
    periodic: tuple[bool, bool, bool]

    @property
    def elements(self) -> list[str]:
        """Chemical symbols, each once, in the order of their first atoms."""
        return list(dict.fromkeys(atom.symbol for atom in self.atoms))


def structure_of(step: Step) -> Structure:
    """Return the structure of a step.

    Raises
    ------
    StepRefused
        If it has none, or if it can't be read. The message names the line.
    """
    if step.structure is None:
        raise StepRefused("the step has no structure: choose one")
    rows = step.structure.splitlines()
    count = step.atoms
    if not 1 <= count <= MOST or len(rows) < count + 2:
        raise StepRefused(
            f"the structure announces {count} atoms and has {max(0, len(rows) - 2)}: expected 1 to {MOST}, all there"
        )
    columns = _columns(rows[1])
    atoms = tuple(_atom(row.split(), columns, number) for number, row in enumerate(rows[2 : count + 2], start=3))
    cell = _cell(rows[1])
    found = _PERIODIC.search(rows[1])
    if cell is None:
        return Structure(atoms, None, (False, False, False))
    flags = (True, True, True) if found is None else tuple(flag in "Tt" for flag in found.groups())
    return Structure(atoms, cell, (flags[0], flags[1], flags[2]))


def extended_xyz(structure: Structure) -> str:
    """Return the structure as extended XYZ, with positions to 1e-10 Å."""
    lattice = " ".join(f"{x:.10f}" for vector in structure.cell or () for x in vector)
    flags = " ".join("T" if one else "F" for one in structure.periodic)
    head = f'Properties=species:S:1:pos:R:3 pbc="{flags}"'
    rows = [f"{atom.symbol} {' '.join(f'{x:.10f}' for x in atom.position)}" for atom in structure.atoms]
    return "\n".join([str(len(rows)), f'Lattice="{lattice}" {head}' if lattice else head, *rows]) + "\n"


def _columns(header: str) -> dict[str, int]:
    """Return the first column of each property."""
    found = _PROPERTIES.search(header)
    if found is None:
        return {"species": 0, "pos": 1}
    words, columns, place = found[1].split(":"), {}, 0
    for name, _, width in zip(words[0::3], words[1::3], words[2::3], strict=False):
        columns[name.lower()] = place
        place += int(width) if width.isdigit() else 1
    if "species" not in columns or "pos" not in columns:
        raise StepRefused(f"the structure has the properties {found[1][:80]}: expected species and pos among them")
    return columns


def _atom(words: list[str], columns: dict[str, int], line: int) -> Atom:
    try:
        symbol = words[columns["species"]]
        x, y, z = _finite(words[columns["pos"] : columns["pos"] + 3])
    except (IndexError, ValueError):
        raise StepRefused(
            f"line {line} of the structure is {' '.join(words)[:60]!r}: expected an element and three coordinates"
        ) from None
    if not _SYMBOL.fullmatch(symbol):
        raise StepRefused(f"line {line} of the structure has the element {symbol[:10]!r}: expected a symbol such as Li")
    return Atom(symbol, (x, y, z))


def _cell(header: str) -> tuple[Vector, Vector, Vector] | None:
    found = _LATTICE.search(header)
    if found is None:
        return None
    try:
        a, b, c, d, e, f, g, h, i = _finite(found[1].split())
    except ValueError:
        raise StepRefused(f"the structure's lattice is {found[1][:80]!r}: expected nine numbers") from None
    if abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)) < 1e-6:
        raise StepRefused(
            f"the structure's lattice {found[1][:80]!r} has no volume: expected three vectors that span a cell"
        )
    return (a, b, c), (d, e, f), (g, h, i)


def _finite(words: list[str]) -> list[float]:
    numbers = [float(word) for word in words]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("not finite")
    return numbers
