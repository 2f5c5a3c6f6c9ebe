"""The parameters of `quantum-espresso`."""

from __future__ import annotations

from typing import Any

from lammps_jobs.programs.corrections import CORRECTIONS
from lammps_jobs.programs.rotation import ROTATION

__all__ = ["SCHEMA"]

_POSITIVE = {"type": "integer", "minimum": 1, "maximum": 64}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ecutwfc"],
    "properties": {
        "calculation": {
            "type": "string", "enum": ["scf", "relax", "bands"], "default": "scf", "title": "Calculation",
            "description": "Self-consistent field, relaxation of the atoms, or bands on the density of the parent.",
        },
        "ecutwfc": {
            "type": "number", "minimum": 5, "maximum": 400, "unit": "Ry", "title": "Cutoff of the wave functions",
        },
        "ecutrho": {
            "type": "number", "minimum": 20, "maximum": 4800, "unit": "Ry", "title": "Cutoff of the density",
            "description": "Four times that of the wave functions if not given. Ultrasoft pseudopotentials need more.",
        },
        "kpoints": {
            "type": "array", "items": _POSITIVE, "minItems": 3, "maxItems": 3, "default": [1, 1, 1],
            "title": "k-points", "description": "Grid along the three reciprocal vectors, with Γ.",
        },
        "path": {
            "type": "array", "items": {"type": "number", "minimum": -10, "maximum": 10}, "maxItems": 300,
            "title": "Path of the bands", "description": "Corners in crystal coordinates, three numbers each.",
        },
        "path_points": {
            "type": "integer", "minimum": 1, "maximum": 1000, "default": 20, "title": "Points on each piece of the path",
        },
        "functional": {
            "type": "string", "enum": ["pbe", "pbesol", "pz", "revpbe", "blyp"], "title": "Functional",
            "description": "That of the pseudopotentials if not given.",
        },
        "charge": {"type": "number", "minimum": -10, "maximum": 10, "default": 0, "unit": "e", "title": "Charge"},
        "bands": {"type": "integer", "minimum": 1, "maximum": 10000, "title": "Bands", "description": "Number of bands."},
        "occupations": {
            "type": "string", "enum": ["fixed", "smearing"], "default": "fixed", "title": "Occupations",
            "description": "Metals need smearing (cold smearing is used).",
        },
        "smearing_width": {
            "type": "number", "minimum": 0.0001, "maximum": 0.5, "default": 0.02, "unit": "Ry", "title": "Smearing",
        },
        "field": {
            "type": "number", "minimum": -0.5, "maximum": 0.5, "unit": "Ha/(e bohr)", "title": "Electric field",
            "description": "A saw-tooth potential with dipole correction. 0 still gives the dipole.",
        },
        "field_direction": {
            "type": "string", "enum": ["x", "y", "z"], "default": "z", "title": "Direction of the field",
            "description": "Along the cell's first, second or third reciprocal vector.",
        },
        "field_end": {
            "type": "number", "minimum": 0, "maximum": 1, "default": 0.9, "title": "Maximum of the potential",
            "description": "Where the saw-tooth turns, as a fraction of the cell. It must be in vacuum.",
        },
        **ROTATION,
        "mixing": {"type": "number", "minimum": 0.01, "maximum": 1, "default": 0.7, "title": "Mixing"},
        "iterations": {
            "type": "integer", "minimum": 1, "maximum": 1000, "default": 100, "title": "Most iterations",
            "description": "Most iterations of the self-consistent field.",
        },
        "threshold": {
            "type": "number", "minimum": 1e-14, "maximum": 0.1, "default": 1e-8, "unit": "Ry", "title": "Threshold",
            "description": "The self-consistent field has converged below this error.",
        },
        "start": {
            "type": "string", "enum": ["parent", "atoms"], "default": "parent", "title": "Start from",
            "description": "The density of the parent, or superposed atoms. Without a parent: atoms.",
        },
        "corrections": CORRECTIONS,
    },
}  # fmt: skip
