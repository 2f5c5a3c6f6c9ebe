"""Turns the atoms of a structure about their centre."""

from __future__ import annotations

import math
from typing import Any

from lammps_jobs.programs.extended_xyz import Structure, Vector

__all__ = ["ROTATION", "turned"]

ROTATION: dict[str, Any] = {
    "rotation": {
        "type": "number", "minimum": -360, "maximum": 360, "default": 0, "unit": "°", "title": "Rotation",
        "description": "Turns the atoms about their centre before the calculation.",
    },
    "rotation_axis": {"type": "string", "enum": ["x", "y", "z"], "default": "z", "title": "Axis of the rotation"},
}  # fmt: skip
"""The parameters ``rotation`` and ``rotation_axis``."""


def turned(structure: Structure, degrees: float, axis: str) -> Structure:
    """Return the structure with its atoms turned about their centre, around x, y or z. The cell stays."""
    if not degrees:
        return structure
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    count = len(structure.atoms)
    centre = [sum(atom.position[k] for atom in structure.atoms) / count for k in range(3)]
    atoms = []
    for atom in structure.atoms:
        place = list(atom.position)
        a, b = place[first] - centre[first], place[second] - centre[second]
        place[first] = centre[first] + cosine * a - sine * b
        place[second] = centre[second] + sine * a + cosine * b
        moved: Vector = (place[0], place[1], place[2])
        atoms.append(type(atom)(atom.symbol, moved))
    return Structure(tuple(atoms), structure.cell, structure.periodic)
