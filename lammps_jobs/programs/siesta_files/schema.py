"""The parameters of `siesta`."""

from __future__ import annotations

from typing import Any

from lammps_jobs.programs.corrections import CORRECTIONS
from lammps_jobs.programs.rotation import ROTATION

__all__ = ["SCHEMA"]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [],
    "properties": {
        "calculation": {"type": "string", "enum": ["scf", "relax"], "default": "scf", "title": "Calculation"},
        "basis": {
            "type": "string", "enum": ["SZ", "SZP", "DZ", "DZP", "TZP"], "default": "DZP", "title": "Basis",
        },
        "functional": {
            "type": "string", "enum": ["LDA-CA", "LDA-PW92", "GGA-PBE", "GGA-PBEsol", "GGA-revPBE", "GGA-BLYP"],
            "default": "GGA-PBE", "title": "Functional",
        },
        "mesh_cutoff": {
            "type": "number", "minimum": 20, "maximum": 2000, "default": 200, "unit": "Ry", "title": "Mesh cutoff",
        },
        "kpoints": {
            "type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 64}, "minItems": 3, "maxItems": 3,
            "default": [1, 1, 1], "title": "k-points",
        },
        "charge": {"type": "number", "minimum": -10, "maximum": 10, "default": 0, "unit": "e", "title": "Charge"},
        "temperature": {
            "type": "number", "minimum": 0, "maximum": 50000, "default": 300, "unit": "K",
            "title": "Electronic temperature",
        },
        "field": {"type": "number", "minimum": -5, "maximum": 5, "unit": "V/Å", "title": "Electric field"},
        "field_direction": {
            "type": "string", "enum": ["x", "y", "z"], "default": "z", "title": "Direction of the field",
        },
        **ROTATION,
        "relax_steps": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 100, "title": "Most moves"},
        "force_tolerance": {
            "type": "number", "minimum": 0.0001, "maximum": 1, "default": 0.02, "unit": "eV/Å", "title": "Largest force",
            "description": "The geometry has converged below this force.",
        },
        "mixing": {"type": "number", "minimum": 0.001, "maximum": 1, "default": 0.25, "title": "Mixing"},
        "history": {
            "type": "integer", "minimum": 0, "maximum": 20, "default": 3, "title": "History of the mixing (Pulay)",
        },
        "iterations": {"type": "integer", "minimum": 1, "maximum": 5000, "default": 200, "title": "Most iterations"},
        "threshold": {
            "type": "number", "minimum": 1e-8, "maximum": 0.1, "default": 1e-4, "title": "Tolerance of the density matrix",
        },
        "start": {
            "type": "string", "enum": ["parent", "atoms"], "default": "parent", "title": "Start from",
            "description": "The density matrix of the parent, or atoms. Without a parent: atoms.",
        },
        "corrections": CORRECTIONS,
    },
}  # fmt: skip
