"""Frames of extended XYZ files, LAMMPS dumps and LAMMPS data, checked line by line before ASE parses them.

ASE reads all three formats, but it accepts truncated files, or fails without naming the line. These functions check
that a frame is complete: the announced number of atoms, the same number of columns in each row, finite numbers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ase.data import atomic_numbers

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.structures.data_columns import check_elements, check_style, check_types

__all__ = ["Frame", "Lines", "data_frames", "dump_frames", "is_element", "xyz_frames"]

_PROPERTIES = re.compile(r'Properties\s*=\s*"?([^"\s]+)"?', re.IGNORECASE)
_COORDINATES = (("x", "y", "z"), ("xs", "ys", "zs"), ("xu", "yu", "zu"), ("xsu", "ysu", "zsu"))
_DATA_HEADER = re.compile(r"\s*(\d+)\s+(atoms|atom types)\s*(#.*)?$")
_DATA_UNITS = re.compile(r"units\s*=\s*(\w+)")
_DATA_SECTION = re.compile(r"[A-Z][A-Za-z ]*$")


@dataclass(frozen=True)
class Frame:
    """One structure of a file, as text.

    Attributes
    ----------
    text
        Its lines, with their newlines.
    line
        Its first line in the file, from 1.
    rows
        The line of each atom, in ASE's order of atoms.
    """

    text: str
    line: int
    rows: Sequence[int]


def is_element(symbol: str) -> bool:
    """Return whether the text is the symbol of a chemical element, such as ``Cu``. ASE's placeholder ``X`` is not."""
    return atomic_numbers.get(symbol, 0) > 0


class Lines:
    """Counts the lines of an open file, so that a file of any length can be read one frame at a time.

    Attributes
    ----------
    path
        Path of the file, for messages.
    number
        Number of the last line that was read, from 1.
    """

    def __init__(self, path: str, lines: Iterable[str]) -> None:
        self.path, self.number = path, 0
        self._lines = iter(lines)

    def take(self) -> str:
        """Return the next line with its newline; an empty string after the last one."""
        line = next(self._lines, "")
        self.number += bool(line)
        return line


def xyz_frames(lines: Lines) -> Iterator[Frame]:
    """Yield the frames of an (extended) XYZ file. Raises Refused with the line."""
    path = lines.path
    while first := lines.take():
        begin = lines.number
        if not first.strip():
            while line := lines.take():
                if line.strip():
                    raise Refused("an empty line: expected the number of atoms of the next frame", path, begin)
            return
        count = _count(path, first, begin)
        comment = lines.take()
        columns, symbol, position = _xyz_columns(path, comment, begin + 1)
        rows: list[str] = []
        while len(rows) < count:
            row = lines.take()
            if not row:
                _broken(path, lines.number, f"the frame ends after {len(rows)} of {count} atoms")
            words = row.split()
            _whole_row(path, lines.number, row, len(words), columns)
            if not is_element(words[symbol]):
                raise Refused(f"{words[symbol]!r} is not a chemical element", path, lines.number)
            _finite(path, lines.number, words[position : position + 3])
            rows.append(row)
        if not rows[-1].endswith("\n") and count > 1 and _shorter(rows[-1], rows[-2]):
            last = rows[-1].split()[-1]
            _broken(path, lines.number, f"{last!r} has fewer digits than the row above and no line end")
        yield Frame("".join([first, comment, *rows]), begin, range(begin + 2, begin + 2 + count))


def dump_frames(lines: Lines, types: Sequence[str] | None) -> Iterator[Frame]:
    """Yield the frames of a LAMMPS dump in text form. Raises Refused with the line."""
    path = lines.path
    while item := lines.take():
        begin, count, bounds, text = lines.number, None, False, []
        while not item.startswith("ITEM: ATOMS"):
            text.append(item)
            if not item.startswith("ITEM:"):
                raise Refused(
                    f"expected a line that starts with ITEM:, found {item.rstrip()[:40]!r}", path, lines.number
                )
            text.append(_dumped(lines))
            if item.startswith("ITEM: NUMBER OF ATOMS"):
                count = _count(path, text[-1], lines.number)
            elif item.startswith("ITEM: BOX BOUNDS"):
                bounds = True
                _finite(path, lines.number, text[-1].split() or [""])
                for _ in range(2):
                    text.append(_dumped(lines))
                    _finite(path, lines.number, text[-1].split() or [""])
            item = _dumped(lines)
        if count is None or not bounds:
            raise Refused("the frame has no NUMBER OF ATOMS or no BOX BOUNDS before its ATOMS", path, lines.number)
        text.append(item)
        numbers = _dump_rows(lines, text, count, types)
        yield Frame("".join(text), begin, numbers)


def data_frames(source: Lines, types: Sequence[str] | None) -> Iterator[Frame]:
    """Yield the only frame of a LAMMPS data file. Raises Refused with the line."""
    path, lines = source.path, list(iter(source.take, ""))
    units = _DATA_UNITS.search(lines[0])
    if units is not None and units[1] not in ("metal", "real"):
        raise Refused(
            f"the file is in LAMMPS's units {units[1]}: expected metal or real, whose lengths are in Å; convert it first",
            path,
            1,
        )
    counts: dict[str, int] = {}
    sections: dict[str, list[int]] = {}
    begins: dict[str, int] = {}
    section: list[int] | None = None
    for number, line in enumerate(lines):
        bare = line.partition("#")[0].strip()
        if number == 0 or not bare:
            continue
        if _DATA_SECTION.match(bare):
            section = sections.setdefault(bare, [])
            begins[bare] = number
        elif section is not None:
            section.append(number)
        elif (found := _DATA_HEADER.match(line)) is not None:
            counts[found[2]] = int(found[1])
    count, rows = counts.get("atoms", 0), sections.get("Atoms", [])
    if count < 1:
        raise Refused("the header of the data file has no number of atoms, or the number is 0", path)
    if len(rows) != count:
        _broken(path, len(lines), f"the section Atoms ends after {len(rows)} of {count} atoms")
    if types is None and "Masses" not in sections and "Atom Type Labels" not in sections:
        raise Refused(
            "the elements of the atom types are unknown, because the file has no section Masses: name them with --types Cu Zr …",
            path,
        )
    begin = begins["Atoms"]
    style = lines[begin].partition("#")[2].strip()
    check_style(path, begin + 1, style, lines[rows[0]])
    numbered = {
        name: [(n + 1, lines[n]) for n in sections.get(name, [])] for name in ("Atom Type Labels", "Masses", "Atoms")
    }
    check_types(path, style, numbered, types)
    if types is None:
        labels = (lines[number].partition("#")[0].split() for number in sections.get("Atom Type Labels", []))
        masses = [(number + 1, lines[number]) for number in sections.get("Masses", [])]
        check_elements(path, {words[0]: words[-1] for words in labels}, masses)
    width = len(lines[rows[0]].partition("#")[0].split())
    ids = []
    for number in rows:
        words = lines[number].partition("#")[0].split()
        _whole_row(path, number + 1, lines[number], len(words), width)
        _finite(path, number + 1, [*words[:1], *words[2:]])
        ids.append(int(words[0]))
    order = _order(path, ids, [number + 1 for number in rows])
    yield Frame("".join(lines), begin + 1, order)


def _dump_rows(lines: Lines, text: list[str], count: int, types: Sequence[str] | None) -> Sequence[int]:
    """Append a frame's rows, which follow the line ``ITEM: ATOMS``, to `text`.

    Return their line numbers in the order of ids.
    """
    path, begin, names = lines.path, lines.number + 1, text[-1].split()[2:]
    found = next((trio for trio in _COORDINATES if set(trio) <= set(names)), None)
    if found is None:
        raise Refused(
            f"the dump has no positions: expected x y z, xs ys zs, xu yu zu or xsu ysu zsu among {names}",
            path,
            lines.number,
        )
    if "element" not in names and (types is None or "type" not in names):
        raise Refused(
            "the elements of the atoms are unknown: name those of types 1, 2, … with --types Cu Zr …, or "
            "dump a column 'element'",
            path,
            lines.number,
        )
    columns = [names.index(name) for name in found]
    element, ident = (names.index(name) if name in names else None for name in ("element", "id"))
    types_at = names.index("type") if "type" in names else 0
    numbered = {str(number) for number in range(1, len(types or ()) + 1)}
    ids = []
    for number in range(count):
        row = _dumped(lines, f"the frame ends after {number} of {count} atoms")
        words = row.split()
        _whole_row(path, lines.number, row, len(words), len(names))
        _finite(path, lines.number, [words[column] for column in columns])
        if element is not None:
            if not is_element(words[element]):
                raise Refused(f"{words[element]!r} is not a chemical element", path, lines.number)
            if "type" in names and words[types_at] in numbered:
                assert types is not None
                if (named := types[int(words[types_at]) - 1]) != words[element]:
                    raise Refused(
                        f"type {words[types_at]} is named {named}, and the dump's column element says {words[element]}: "
                        "leave --types out, or name the elements of types 1, 2, … in their order",
                        path,
                        lines.number,
                    )
        elif words[types_at] not in numbered:
            raise Refused(
                f"type {words[types_at]}: elements are named for types 1 to {len(numbered)}", path, lines.number
            )
        if ident is not None:
            ids.append(_count(path, words[ident], lines.number))
        text.append(row)
    rows = range(begin, begin + count)
    return _order(path, ids, rows) if ids else rows


def _dumped(lines: Lines, what: str = "the frame ends before its atoms") -> str:
    """Return the next line of a dump. LAMMPS always writes its newline."""
    line = lines.take()
    if not line:
        _broken(lines.path, lines.number, what)
    if not line.endswith("\n"):
        _broken(lines.path, lines.number, "the last line has no newline")
    return line


def _order(path: str, ids: Sequence[int], rows: Sequence[int]) -> list[int]:
    """Return the rows in the order of their ids."""
    pairs = sorted(zip(ids, rows, strict=True))
    for (one, _), (other, line) in itertools.pairwise(pairs):
        if one == other:
            raise Refused(f"atom {one} is listed twice", path, line)
    return [line for _, line in pairs]


def _xyz_columns(path: str, comment: str, line: int) -> tuple[int, int, int]:
    """Return the number of columns of a row, and the columns of the symbol and the position."""
    found = _PROPERTIES.search(comment)
    if found is None:
        return 4, 0, 1
    words = found[1].split(":")
    starts: dict[str, int] = {}
    columns = 0
    for name, _, width in zip(words[::3], words[1::3], words[2::3], strict=False):
        starts[name] = columns
        columns += int(width) if width.isdigit() else 0
    if len(words) % 3 or "species" not in starts or "pos" not in starts:
        raise Refused(f"Properties={found[1]}: expected species:S:1:pos:R:3, and any further properties", path, line)
    return columns, starts["species"], starts["pos"]


def _count(path: str, text: str, line: int) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise Refused(f"expected a number of atoms, at least 1, found {text.strip()[:40]!r}", path, line)
    return int(text)


def _finite(path: str, line: int, words: Sequence[str]) -> None:
    for word in words:
        try:
            if math.isfinite(float(word)):
                continue
        except ValueError:
            pass
        raise Refused(f"{word!r} is not a finite number", path, line)


def _whole_row(path: str, line: int, text: str, found: int, expected: int) -> None:
    if found != expected:
        cut = "" if text.endswith("\n") else ": the file ends in the middle of it"
        raise Refused(f"the row has {found} columns, expected {expected}{cut}", path, line)


def _shorter(text: str, above: str) -> bool:
    one, other = text.split()[-1], above.split()[-1]
    return len(one.partition(".")[2]) < len(other.partition(".")[2])


def _broken(path: str, line: int, what: str) -> NoReturn:
    raise Refused(f"the file is truncated: {what}", path, line)
