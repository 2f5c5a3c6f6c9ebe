"""Families of cells: a cell and its deformed copies, which are told by the names of their directories."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["family_of", "shared"]

_DEFORMED = re.compile(r"(?P<family>.+-[0-9]+)-[0-9]{2}")


def family_of(directory: Path) -> str:
    """Return the family of the cell in a directory: its name, where ``Zr49Cu49Al2-21-07`` counts without ``-07``."""
    name = directory.resolve().name
    found = _DEFORMED.fullmatch(name)
    return name if found is None else found["family"]


def shared(learned: Sequence[Path], tested: Sequence[Path]) -> list[str]:
    """Return the families that have cells both among the learned and the tested ones, sorted."""
    return sorted({family_of(one) for one in learned} & {family_of(one) for one in tested})
