"""Families of cells: a cell and all of its deformed copies.

The bonds of a deformed copy lie close to those of its cell, much closer than bonds of independent cells do. So everything that
compares cells leaves out whole families: what is learned and what is tested never have a family in common.
"""

import re
from collections.abc import Mapping
from typing import Any

LONGEST = 200
"""Characters of a family's name, as of a cell's."""

_DEFORMED = re.compile(r"(?P<family>(?:[A-Z][a-z]?(?:[0-9]+(?:\.[0-9]+)?)?)+-[0-9]+)-[0-9]{2}", re.ASCII)


def of_cell(name: str, provenance: Mapping[str, Any]) -> str:
    """Return the family of a cell.

    It is ``provenance["family"]``, the name of the undeformed cell, if that is a name; else the cell's own name. A name of the
    pattern ``COMPOSITION-RUN-NN``, such as ``Zr49Cu49Al2-21-07``, counts without ``-NN``, the number of the deformation.

    Parameters
    ----------
    name
        Name of the cell.
    provenance
        Where the cell comes from, as it was posted.
    """
    named = provenance.get("family")
    return _undeformed(str(named) if is_name(named) else name)


def is_name(value: Any) -> bool:
    """Return whether a value can name a family: a printable text of 1 to :data:`LONGEST` characters."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable()


def _undeformed(name: str) -> str:
    found = _DEFORMED.fullmatch(name)
    return name if found is None else found["family"]
