"""Checks of a LAMMPS data file: its atom style, and the element of each atom type by mass or label.

ASE guesses both. It takes the element whose mass is nearest, even if none is close, as for coarse-grained beads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from lammps_jobs.bonds.errors import Refused

__all__ = ["check_elements", "check_style", "check_types"]

COLUMNS = {"atomic": 5, "charge": 6, "bond": 6, "angle": 6, "molecular": 6, "full": 7}
"""Number of columns of the atom styles that ASE reads, without the three image flags."""

MOLECULES = ("bond", "angle", "molecular", "full")
"""The styles whose rows have the molecule's number between the atom's number and its type."""

NEAR, SHARE = 0.25, 0.02
"""A mass belongs to an element if the difference is at most this, in u and relative.

People write 27 for 26.98, and 10.8 for 10.81.
"""
_NAME_THEM = "name the elements with --types Cu Zr …"


def check_style(path: str, line: int, style: str, row: str) -> None:
    """Refuse atoms whose columns ASE can't read or would have to guess.

    Parameters
    ----------
    path, line
        The file, and the line of its section ``Atoms``.
    style
        The style after ``#`` in that line; empty if there is none.
    row
        The row of the first atom.

    Raises
    ------
    Refused
        With the section's line, and what to write there.
    """
    words = row.partition("#")[0].split()
    flags = 3 if len(words) > 7 else 0
    width = len(words) - flags
    if flags and not all(word.lstrip("+-").isdigit() for word in words[-3:]):
        raise Refused(
            f"the last three of {len(words)} columns are not image flags: {words[-3:]} are not integers", path, line
        )
    if not style:
        if flags and width == COLUMNS["atomic"]:
            raise Refused(
                "the section's line doesn't name the atom style of its 8 columns: they may be atomic with three image flags, "
                "or line, tri or electron without; write `Atoms # atomic`, or the style that the file was written with",
                path,
                line,
            )
        if width not in (COLUMNS["atomic"], COLUMNS["full"]):
            raise Refused(
                f"the section's line doesn't name the atom style of its {len(words)} columns: write `Atoms # charge`, or "
                "the style that the file was written with",
                path,
                line,
            )
    elif COLUMNS.get(style) != width:
        known = ", ".join(f"{name} ({columns})" for name, columns in COLUMNS.items())
        raise Refused(
            f"atoms of the style {style!r} in {len(words)} columns: expected one of {known}, each with three image flags "
            "or none",
            path,
            line,
        )


def check_types(
    path: str, style: str, sections: Mapping[str, Sequence[tuple[int, str]]], types: Sequence[str] | None
) -> None:
    """Refuse an atom whose type is not a number, or has no element.

    Parameters
    ----------
    path, style
        The file, and its atom style from `check_style`.
    sections
        The rows of the sections ``Atom Type Labels``, ``Masses`` and ``Atoms``, each with its line.
    types
        The elements that the user named for types 1, 2, …, or None.

    Raises
    ------
    Refused
        With the line of the atom, or of the row that contradicts its type or the named elements.
    """
    words = {name: [(line, row.partition("#")[0].split()) for line, row in rows] for name, rows in sections.items()}
    named = {row[0]: row[-1] for _, row in words["Atom Type Labels"]}
    masses = {row[0] for _, row in words["Masses"]}
    if types is None:
        known = masses or set(named)
        lacks = "has no mass in the section Masses"
    else:
        known = {str(number) for number in range(1, len(types) + 1)}
        lacks = f"has no element: elements are named for types 1 to {len(types)}"
    for line, row in words["Masses"]:
        _number(path, line, row[0])
        if types is not None:
            _check_named(path, line, row, named.get(row[0], ""), types)
    for line, row in words["Atoms"]:
        at = 2 if style in MOLECULES or (not style and len(row) in (COLUMNS["full"], COLUMNS["full"] + 3)) else 1
        if at >= len(row):
            continue  # The row is refused for its columns.
        _number(path, line, row[at])
        if row[at] not in known:
            raise Refused(f"type {row[at]} {lacks}: {_NAME_THEM}", path, line)


def _check_named(path: str, line: int, row: Sequence[str], label: str, types: Sequence[str]) -> None:
    """Refuse a type of the section ``Masses`` that has no named element, or whose label or mass is another element's.

    Other masses are taken as they are: of beads, of isotopes, in reduced units.
    """
    if int(row[0]) > len(types):
        raise Refused(
            f"elements are named for types 1 to {len(types)}, and the section Masses has type {row[0]}: name one element "
            "for each type with --types, in their order",
            path,
            line,
        )
    symbol = types[int(row[0]) - 1] if int(row[0]) else ""
    says = ""
    if label in atomic_numbers and label != symbol:
        says = f"the label {label}"
    elif len(row) > 1 and (mass := _mass(row[1])) is not None and mass != 1:
        nearest = min(range(1, len(atomic_masses)), key=lambda number: abs(atomic_masses[number] - mass))
        is_nearest = abs(atomic_masses[nearest] - mass) <= min(NEAR, SHARE * mass)
        if is_nearest and abs(atomic_masses[atomic_numbers.get(symbol, 0)] - mass) > max(NEAR, SHARE * mass):
            says = f"the mass {mass:g}, which is {_element(nearest)}'s"
    if says:
        raise Refused(
            f"type {row[0]} is named {symbol}, and has {says}: name the elements of types 1, 2, … in their order with "
            "--types, or leave --types out",
            path,
            line,
        )


def _mass(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _number(path: str, line: int, word: str) -> None:
    if not word.isdecimal():
        raise Refused(
            f"{word!r} is a type's label: expected its number (LAMMPS writes numbers with `write_data FILE types numeric`)",
            path,
            line,
        )


def check_elements(path: str, labels: Mapping[str, str], masses: Sequence[tuple[int, str]]) -> None:
    """Refuse atom types whose element is unknown.

    Parameters
    ----------
    path
        The file.
    labels
        Type to its label, from the section ``Atom Type Labels``.
    masses
        The rows of the section ``Masses``, each with its line.

    Raises
    ------
    Refused
        With the line of a mass that fits no element, or two elements.
    """
    if not masses and (strange := sorted(set(labels.values()) - set(atomic_numbers))):
        raise Refused(
            f"the type label {strange[0]!r} is not an element, and there is no section Masses: {_NAME_THEM}", path
        )
    values = []
    for line, row in masses:
        words = row.partition("#")[0].split()
        try:
            values.append((line, words[0], float(words[1])))
        except (IndexError, ValueError):
            raise Refused(f"expected a type and its mass, found {row.strip()[:40]!r}", path, line) from None
    if values and all(mass == 1 for _, _, mass in values):
        raise Refused(f"every mass is 1, as in reduced units: {_NAME_THEM}", path, values[0][0])
    for line, name, mass in values:
        label = labels.get(name, "")
        if (number := atomic_numbers.get(label, 0)) > 0 and abs(atomic_masses[number] - mass) > max(NEAR, SHARE * mass):
            raise Refused(
                f"type {name} has the label {label} and the mass {mass:g}, which is not {_element(number)}'s: {_NAME_THEM}",
                path,
                line,
            )
        first, second = sorted(range(1, len(atomic_masses)), key=lambda number: abs(atomic_masses[number] - mass))[:2]
        off, other = (abs(atomic_masses[number] - mass) for number in (first, second))
        if not off <= min(NEAR, SHARE * mass):
            raise Refused(
                f"type {name} has the mass {mass:g}, which fits no element (the nearest is {_element(first)}): {_NAME_THEM}",
                path,
                line,
            )
        if other <= NEAR and other < 3 * off:
            raise Refused(
                f"type {name} has the mass {mass:g}, which may be {_element(first)} or {_element(second)}: {_NAME_THEM}",
                path,
                line,
            )


def _element(number: int) -> str:
    return f"{chemical_symbols[number]}, {atomic_masses[number]:.3f}"
