"""Structures: molecules and cells, stored as one frame of extended XYZ.

XYZ and extended XYZ are read here. CIF and POSCAR are read by ASE, where it is installed.
"""

import hashlib
import math
import re
from collections import Counter
from importlib.util import find_spec
from typing import Any

from django.db import IntegrityError
from django.db.models import ProtectedError

from server.calculations import ase_reader
from server.calculations.models import Structure
from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, TooLarge, Unavailable
from server.core.validation import check_name, format_value

FORMATS = ("extxyz", "xyz", "cif", "vasp")
LARGEST = 4 * 2**20
MOST_ATOMS = 50_000
_ELEMENT = re.compile(r"([A-Z][a-z]?)")
LATTICE = re.compile(r'(?:^|\s)Lattice=(?:"([^"]*)"|(\S+))', re.IGNORECASE)
_PROPERTIES = re.compile(r'(?:^|\s)Properties=(?:"([^"]*)"|(\S+))', re.IGNORECASE)


def read(content: str, form: str, field: str = "content") -> Structure:
    """Return an unsaved structure, read from text.

    Raises
    ------
    Invalid
        If it can't be read. The message says why, and where.
    TooLarge
        If it has too many bytes or atoms.
    """
    if len(content) > LARGEST:
        raise TooLarge(f"{field} has {len(content)} characters: the most allowed is {LARGEST}", field=field)
    text = content if form in ("xyz", "extxyz") else _by_ase(content, form, field)
    text = text.replace("\r\n", "\n").strip("\n") + "\n"
    elements, periodic = _checked(text, field)
    return Structure(
        content=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        atoms=len(elements),
        formula=_formula(elements),
        periodic=periodic,
        format=form,
    )


def _checked(text: str, field: str) -> tuple[list[str], bool]:
    """Return the elements of one frame of (extended) XYZ, and whether it has a lattice."""
    lines = text.rstrip("\n").split("\n")
    first = lines[0].strip()
    if not (first.isascii() and first.isdigit() and int(first[:10]) > 0 and len(first) < 10):
        raise Invalid(f"{field}, line 1, is {format_value(first)}: expected the number of atoms", field=field)
    count = int(first)
    if count > MOST_ATOMS:
        raise TooLarge(f"{field} has {count} atoms: the most allowed is {MOST_ATOMS}", field=field)
    if len(lines) != count + 2:
        raise Invalid(
            f"{field} has {len(lines)} lines: expected {count + 2}, one frame of {count} atoms: their number, a line of comment, "
            "and a line for each atom",
            field=field,
        )
    species, position = _columns(lines[1], field)
    elements = []
    for n, line in enumerate(lines[2:], 3):
        parts = line.split()
        symbol = _ELEMENT.match(parts[species]) if len(parts) > species else None
        coordinates = parts[position : position + 3]
        if symbol is None or len(coordinates) < 3 or not all(map(_is_finite, coordinates)):
            raise Invalid(
                f"{field}, line {n}, is {format_value(line)}: expected an element and three numbers", field=field
            )
        elements.append(symbol.group(1))
    lattice = LATTICE.search(lines[1])
    if lattice is not None:
        numbers = (lattice.group(1) or lattice.group(2) or "").split()
        if len(numbers) != 9 or not all(map(_is_finite, numbers)):
            raise Invalid(f'{field}, line 2: expected Lattice="…" with nine numbers', field=field)
    return elements, lattice is not None


def _columns(comment: str, field: str) -> tuple[int, int]:
    """Return the columns of the element and of x, as the comment of extended XYZ declares them."""
    found = _PROPERTIES.search(comment)
    if found is None:
        return 0, 1
    parts = (found.group(1) or found.group(2)).split(":")
    places, column = {}, 0
    for name, _, width in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        places[name.lower()] = column
        column += int(width) if width.isdigit() and len(width) < 4 else 1
    if not {"species", "pos"} <= set(places):
        raise Invalid(
            f"{field}, line 2, declares Properties={format_value(':'.join(parts))}: expected species and pos among them",
            field=field,
        )
    return places["species"], places["pos"]


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _formula(elements: list[str]) -> str:
    """Return the formula in the order of Hill: carbon, hydrogen, then by the alphabet."""
    counts = Counter(elements)
    first = [one for one in ("C", "H") if "C" in counts and one in counts]
    order = first + sorted(set(counts) - set(first))
    return "".join(f"{one}{counts[one] if counts[one] > 1 else ''}" for one in order)[:200]


def _by_ase(content: str, form: str, field: str) -> str:
    if find_spec("ase") is None:
        raise Invalid(
            f"this server does not read {form}, because ASE isn't installed on it (requirements/bonds.txt): send extxyz, or "
            "convert it with ase.io.write(…, format='extxyz')",
            field="format",
            code="unsupported_format",
        )
    try:
        return ase_reader.read(content, form, MOST_ATOMS)
    except ase_reader.Busy:
        raise Unavailable("the server reads as many structures as it may at once; try again") from None
    except ase_reader.Unreadable as exc:
        raise Invalid(f"{field} can't be read as {form}: {exc}", field=field) from exc


def create(name: Any, content: str, form: str, *, created_by: str, owner_id: int | None) -> tuple[Structure, bool]:
    """Store a structure with a name. The same one posted again changes nothing.

    Returns
    -------
    structure, created

    Raises
    ------
    Conflict
        If the name is taken by another structure.
    """
    check_name(name, "structure")
    structure = read(content, form)
    structure.name, structure.created_by, structure.owner_id = name, created_by, owner_id
    try:
        with transaction_for_writing():
            structure.save()
            after = {"sha256": structure.sha256, "formula": structure.formula}
            audit_signals.send("structure.create", name, after=after)
        return structure, True
    except IntegrityError:
        found = find(name)
    if found.sha256 != structure.sha256:
        raise Conflict(f"the name {format_value(name)} is taken by another structure", field="name", code="name_taken")
    return found, False


def find(name: Any, field: str = "structure") -> Structure:
    """Return the structure with this name.

    Raises
    ------
    NotFound
        If there is none.
    """
    return find_by_name(Structure.objects.all(), name, "no structure named {name}", field=field)


def page(before: int | None, limit: int) -> tuple[list[Structure], int | None]:
    """Return at most ``limit`` named structures, the newest first, and ``before`` of the next page."""
    found = Structure.objects.filter(name__isnull=False).order_by("-pk").defer("content")
    if before is not None:
        found = found.filter(pk__lt=before)
    rows = list(found[: limit + 1])
    return rows[:limit], rows[limit - 1].pk if len(rows) > limit else None


def delete(structure: Structure) -> None:
    """Delete a structure that no calculation uses.

    Raises
    ------
    Conflict
        If one does.
    """
    try:
        with transaction_for_writing():
            audit_signals.send("structure.delete", str(structure.name), before={"sha256": structure.sha256})
            structure.delete()
    except ProtectedError as exc:
        raise Conflict(
            f"structure {structure.name} can't be deleted: calculations use it", field="structure", code="in_use"
        ) from exc


def summary(structure: Structure) -> dict[str, Any]:
    """Return a structure as lists show it."""
    return {
        "id": structure.pk,
        "name": structure.name,
        "formula": structure.formula,
        "atoms": structure.atoms,
        "periodic": structure.periodic,
        "format": structure.format,
        "sha256": structure.sha256,
        "created_at": structure.created_at,
        "created_by": structure.created_by,
    }


def described(structure: Structure) -> dict[str, Any]:
    """Return a structure with its content, as extended XYZ."""
    return summary(structure) | {"content": structure.content}
