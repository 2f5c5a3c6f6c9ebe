"""What the columns of a LAMMPS data file mean: its atom style, and the element of each type by its mass.

ASE guesses both. It takes the element that is nearest to a mass, also where none is near, as with coarse-grained beads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from lammps_jobs.bonds.errors import Refused

__all__ = ["check_elements", "check_style"]

COLUMNS = {"atomic": 5, "charge": 6, "bond": 6, "angle": 6, "molecular": 6, "full": 7}
"""Of the atom styles that ASE reads, without the three image flags."""

NEAR, SHARE = 0.25, 0.02
"""A mass is an element's if it is so near to it, in u and as a share: people write 27 for 26.98, and 10.8 for 10.81."""
_NAME_THEM = "name the elements with --types Cu Zr …"


def check_style(path: str, line: int, style: str, row: str) -> None:
    """Refuse atoms whose columns ASE would have to guess, or can't read.

    Parameters
    ----------
    path, line
        The file, and where its section ``Atoms`` begins.
    style
        What the section's line says after ``#``; empty if it says nothing.
    row
        The first atom's.

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
            f"the last three of {len(words)} columns are no image flags, as {words[-3:]} are no integers", path, line
        )
    if not style:
        if width not in (COLUMNS["atomic"], COLUMNS["full"]):
            raise Refused(
                f"the section's line doesn't say which atom style its {len(words)} columns are of: write `Atoms # charge`, or "
                "the style that it was written with",
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


def check_elements(path: str, labels: Mapping[str, str], masses: Sequence[tuple[int, str]]) -> None:
    """Refuse types that can't be told to be elements.

    Parameters
    ----------
    path
        The file.
    labels
        Type to its label, in the section ``Atom Type Labels``.
    masses
        The rows of the section ``Masses``, each with its line.

    Raises
    ------
    Refused
        With the line of a mass that is no element's, or that may be of two.
    """
    if not masses and (strange := sorted(set(labels.values()) - set(atomic_numbers))):
        raise Refused(
            f"the type label {strange[0]!r} is no element, and there is no section Masses: {_NAME_THEM}", path
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
        first, second = sorted(range(1, len(atomic_masses)), key=lambda number: abs(atomic_masses[number] - mass))[:2]
        off, other = (abs(atomic_masses[number] - mass) for number in (first, second))
        if not off <= min(NEAR, SHARE * mass):
            raise Refused(
                f"type {name} has the mass {mass:g}, which is no element's (the nearest is {_element(first)}): {_NAME_THEM}",
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
