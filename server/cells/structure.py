"""Reading the stored structure of a cell: extended XYZ to elements, positions and lattice vectors."""

import re
from dataclasses import dataclass

import numpy as np

MOST_ATOMS = 20_000
"""Most atoms of a structure that is read for a page."""

LONGEST_ELEMENT = 10
_QUOTED = {name: re.compile(rf'(?:^|\s){name}=(?:"([^"]*)"|(\S+))') for name in ("Lattice", "Properties")}
_DEFAULT = "species:S:1:pos:R:3"


class Unreadable(Exception):
    """The structure can't be read. The message says why."""


@dataclass(frozen=True)
class Structure:
    """Atoms in a periodic cell.

    Attributes
    ----------
    elements
        The element of each atom, as the file names it.
    positions
        Shape (atoms, 3), Å.
    lattice
        The lattice vectors as rows, shape (3, 3), Å.
    """

    elements: list[str]
    positions: np.ndarray
    lattice: np.ndarray

    def __len__(self) -> int:
        return len(self.elements)


def atom_count(text: str) -> int | None:
    """Return the number of atoms that a structure, or its beginning, declares; None if it declares none."""
    first = text.partition("\n")[0].strip()
    return int(first) if first.isascii() and first.isdigit() and len(first) < 10 else None


def read(text: str) -> Structure:
    """Return the structure of one frame of extended XYZ.

    Raises
    ------
    Unreadable
        If it is none, or has more than :data:`MOST_ATOMS` atoms. When a cell is posted, its lines are only counted.
    """
    count = atom_count(text)
    if count is None:
        raise Unreadable("it does not begin with the number of atoms")
    if count > MOST_ATOMS:
        raise Unreadable(f"it has {count:,} atoms, and at most {MOST_ATOMS:,} are drawn")
    lines = text.split("\n")
    header = lines[1] if len(lines) > 1 else ""
    element_column, position_column, width = _columns(_value(header, "Properties") or _DEFAULT)
    elements, numbers = [], []
    for number, line in enumerate(lines[2 : count + 2], 1):
        parts = line.split()
        if len(parts) < width:
            raise Unreadable(f"the line of atom {number} has {len(parts)} columns, and {width} were expected")
        elements.append(parts[element_column][:LONGEST_ELEMENT])
        numbers.append(parts[position_column : position_column + 3])
    if len(elements) != count:
        raise Unreadable(f"it declares {count} atoms and has {len(elements)}")
    positions = _numbers(numbers, "a position").reshape(-1, 3)
    return Structure(elements, positions, _lattice(_value(header, "Lattice")))


def _value(header: str, name: str) -> str | None:
    found = _QUOTED[name].search(header)
    return None if found is None else found[1] if found[1] is not None else found[2]


def _columns(properties: str) -> tuple[int, int, int]:
    """Return the columns of the element and of x, and how many columns a line has at least."""
    parts = properties.split(":")
    places: dict[str, tuple[int, int]] = {}
    column = 0
    for name, _, size in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        if not (size.isascii() and size.isdigit() and len(size) < 4):
            raise Unreadable(f"its Properties are {properties[:80]!r}")
        places[name] = column, int(size)
        column += int(size)
    if "species" not in places or places.get("pos", (0, 0))[1] != 3:
        raise Unreadable(f"its Properties are {properties[:80]!r}, without species or pos")
    element, position = places["species"][0], places["pos"][0]
    return element, position, max(element, position + 2) + 1


def _lattice(text: str | None) -> np.ndarray:
    lattice = _numbers((text or "").split(), "the Lattice")
    if len(lattice) != 9:
        raise Unreadable(f"its Lattice has {len(lattice)} numbers, and 9 were expected")
    lattice = lattice.reshape(3, 3)
    volume = abs(float(np.linalg.det(lattice)))
    if not volume > 1e-6:
        raise Unreadable("its Lattice has no volume")
    return lattice


def _numbers(texts: list[list[str]] | list[str], what: str) -> np.ndarray:
    try:
        found = np.array(texts, dtype=float)
    except ValueError:
        raise Unreadable(f"{what} is not a number") from None
    if not (np.abs(found) < 1e6).all():
        raise Unreadable(f"{what} is not a number of Å below a million")
    return found
