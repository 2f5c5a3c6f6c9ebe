"""Reads the files ``.FA`` (forces) and ``.ANI`` (trajectory in XYZ) of SIESTA."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

from lammps_jobs.programs.text_lines import lines

__all__ = ["UnusableFile", "last_frame", "read_forces"]

Row = tuple[str, float, float, float]


class UnusableFile(Exception):
    """The file is missing, cut off or not readable. The message says which, and in which line."""


def read_forces(path: Path, atoms: int) -> list[tuple[float, float, float]]:
    """Return the force on each atom, eV/Å. Raises UnusableFile if the file is not complete."""
    rows = _lines(path, atoms + 1)
    if rows[:1] != [[str(atoms)]]:
        raise UnusableFile(
            f"{path.name} starts with {' '.join(rows[0])[:40] if rows else 'nothing'!r}: expected {atoms} atoms"
        )
    forces = []
    for number, words in enumerate(rows[1:], start=1):
        x, y, z = _three(path, words[1:4], number + 1)
        if words[0] != str(number):
            raise UnusableFile(f"{path.name}:{number + 1}: atom {words[0][:20]!r}, expected {number}")
        forces.append((x, y, z))
    if len(forces) != atoms:
        raise UnusableFile(f"{path.name} is cut off: it has the forces of {len(forces)} of {atoms} atoms")
    return forces


def last_frame(path: Path, atoms: int) -> tuple[int, list[Row]]:
    """Return the number of complete frames, and element and position (Å) of each atom in the last one.

    Raises
    ------
    UnusableFile
        If there is no complete frame, or if a frame has another number of atoms.
    """
    count, frame = 0, []
    try:
        rows = lines(path)
        while (head := next(rows, None)) is not None:
            if head.strip() != str(atoms):
                raise UnusableFile(f"{path.name}: a frame starts with {head.strip()[:40]!r}, expected {atoms} atoms")
            next(rows, None)
            found = [row.split() for row in islice(rows, atoms)]
            if len(found) < atoms:
                break  # the last frame is cut off
            frame = [(words[0], *_three(path, words[1:4], 0)) for words in found if words]
            count += 1
    except OSError as error:
        raise UnusableFile(f"{path.name} can't be read: {error.strerror}") from None
    if count == 0 or len(frame) != atoms:
        raise UnusableFile(f"{path.name} has no complete frame")
    return count, frame


def _lines(path: Path, most: int) -> list[list[str]]:
    try:
        return [line.split() for line in islice(lines(path), most)]
    except OSError as error:
        raise UnusableFile(f"{path.name} can't be read: {error.strerror}") from None


def _three(path: Path, words: list[str], line: int) -> tuple[float, float, float]:
    try:
        x, y, z = map(float, words)
    except ValueError:
        raise UnusableFile(f"{path.name}{f':{line}' if line else ''}: expected three numbers, found {words}") from None
    if not all(map(math.isfinite, (x, y, z))):
        raise UnusableFile(f"{path.name}{f':{line}' if line else ''}: a number is not finite")
    return x, y, z
