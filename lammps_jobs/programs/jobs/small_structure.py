"""Files of a structure that go to the server: a small one, so that a cell whose labels fail can be recorded there."""

from __future__ import annotations

from collections.abc import Sized

__all__ = ["MOST_ATOMS", "STRUCTURE", "small_structure"]

STRUCTURE = "structure.xyz"
MOST_ATOMS = 10_000


def small_structure(atoms: Sized) -> tuple[str, ...]:
    """Return the name of the structure's file if it has at most :data:`MOST_ATOMS` atoms; else nothing."""
    return (STRUCTURE,) if len(atoms) <= MOST_ATOMS else ()
