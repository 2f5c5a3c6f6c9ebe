"""Reads, checks and writes structure files: extended XYZ, LAMMPS dumps and LAMMPS data."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import read as read_with_ase

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.structures.frames import Frame, Lines, data_frames, dump_frames, is_element, xyz_frames
from lammps_jobs.bonds.structures.spacing import closest_pair, widths

__all__ = ["CLOSEST", "check", "read", "write"]

CLOSEST = 1.2
"""Shortest distance of atoms that is accepted, Å. In the most deformed reference cells the shortest is 1.80 Å."""


def read(path: str | os.PathLike[str], *, types: Sequence[str] | None = None, frame: int = -1) -> Atoms:
    """Read one periodic structure, in Å.

    The format is detected from the first lines, not from the name. Positions are those of the file, not wrapped into
    the cell, because translations in label files refer to them.

    Parameters
    ----------
    path
        An extended XYZ file, a LAMMPS dump (text) or a LAMMPS data file, in LAMMPS's units ``metal``.
    types
        The elements of LAMMPS's atom types 1, 2, …, for a dump without a column ``element`` or a data file without
        masses.
    frame
        Index of the frame, from 0, or from the end if negative.

    Raises
    ------
    Refused
        If the file has another format, is truncated, doesn't tell the elements, or has a structure that `check`
        refuses.
    OSError
        If the file can't be read.
    """
    path = os.fspath(path)
    for symbol in types or ():
        if not is_element(symbol):
            raise Refused(f"{symbol!r}, named as the element of an atom type, is not a chemical element")
    with open(path, encoding="utf-8", errors="replace") as file:
        kind, frames = _frames(path, file, types)
        one = _pick(path, frames, frame)
    atoms = _parse(path, kind, one, types)
    check(atoms, path, one.rows)
    return atoms


def check(atoms: Atoms, path: str | os.PathLike[str] | None = None, rows: Sequence[int] | None = None) -> None:
    """Refuse a structure in which bonds can't be found.

    Parameters
    ----------
    atoms
        The structure.
    path, rows
        The structure's file and each atom's line in it, for messages.

    Raises
    ------
    Refused
        If there are no atoms, the structure is not periodic in three directions, its cell is flat, a position is not a
        number, or two atoms are closer than `CLOSEST`, also across the cell's boundaries.
    """
    if len(atoms) == 0:
        raise Refused("there are no atoms", path)
    if not all(atoms.pbc):
        directions = "".join("T" if flag else "F" for flag in atoms.pbc)
        raise Refused(
            f"the structure is not periodic in all three directions (pbc is {directions}): bonds are found in "
            'periodic cells (an extended XYZ file says Lattice="…" pbc="T T T" in its second line)',
            path,
        )
    volume = abs(float(np.linalg.det(atoms.cell.array)))
    if not math.isfinite(volume) or volume < len(atoms):
        raise Refused(
            f"the cell's volume is {volume:.3g} Å³ for {len(atoms)} atoms: expected several Å³ for each atom", path
        )
    if not np.isfinite(atoms.positions).all():
        raise Refused("a position is not a finite number", path)
    _not_too_close(atoms, path, rows)


def write(path: str | os.PathLike[str], atoms: Atoms) -> None:
    """Write a structure as extended XYZ, with positions to 1e-8 Å. The file appears only when it is complete."""
    plain = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    unfinished = f"{os.fspath(path)}.unfinished"
    plain.write(unfinished, format="extxyz")
    os.replace(unfinished, path)


def _frames(path: str, file: TextIO, types: Sequence[str] | None) -> tuple[str, Iterator[Frame]]:
    head = list(itertools.islice(file, 10))
    if not any(line.strip() for line in head):
        raise Refused("the file is empty: expected a structure", path)
    lines = Lines(path, itertools.chain(head, file))
    if head[0].startswith("ITEM:"):
        return "lammps-dump-text", dump_frames(lines, types)
    if head[0].strip().isdigit():
        return "extxyz", xyz_frames(lines)
    if any(line.partition("#")[0].split()[1:] == ["atoms"] for line in head[1:]):
        return "lammps-data", data_frames(lines, types)
    raise Refused(
        f"expected an extended XYZ file, a LAMMPS dump or LAMMPS data, found {head[0].strip()[:40]!r}", path, 1
    )


def _pick(path: str, frames: Iterator[Frame], frame: int) -> Frame:
    if frame < 0:
        last = deque(frames, maxlen=-frame)
        if len(last) == -frame:
            return last[0]
        raise Refused(f"there is no frame {frame}: the file has {len(last)}", path)
    number = -1
    for number, one in enumerate(frames):
        if number == frame:
            return one
    raise Refused(f"there is no frame {frame}: the file has {number + 1}, counted from 0", path)


def _parse(path: str, kind: str, frame: Frame, types: Sequence[str] | None) -> Atoms:
    options: dict[str, Any] = {}
    if kind == "lammps-dump-text":
        options = {"specorder": list(types) if types else None}
    elif kind == "lammps-data" and types:
        options = {"Z_of_type": {number: atomic_numbers[symbol] for number, symbol in enumerate(types, start=1)}}
    try:
        atoms = read_with_ase(io.StringIO(frame.text), format=kind, index=0, **options)
    except Exception as error:
        reason = f"ASE can't read it as {kind}: {type(error).__name__}: {error}"
        raise Refused(reason, path, frame.line) from error
    assert isinstance(atoms, Atoms)
    if 0 in atoms.numbers:
        raise Refused("an atom's element is not known", path, frame.line)
    return atoms


def _not_too_close(atoms: Atoms, path: str | os.PathLike[str] | None, rows: Sequence[int] | None) -> None:
    narrowest = float(widths(atoms).min())
    if narrowest <= CLOSEST:
        raise Refused(
            f"the cell is {narrowest:.3f} Å wide: atoms are closer than {CLOSEST} Å to their own images", path
        )
    found = closest_pair(atoms, CLOSEST)
    if found is None:
        return
    i, j, distance = found
    one, other = (f"{atoms[k].symbol}{k + 1}" for k in (i, j))
    raise Refused(
        f"{one} and {other} are {distance:.3f} Å from each other: expected at least {CLOSEST} Å",
        path,
        None if rows is None else rows[j],
    )
