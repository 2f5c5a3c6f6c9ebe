"""Frames of extended XYZ files, LAMMPS dumps and LAMMPS data, checked line by line before a library parses them.

ASE reads all three, but takes what is left of a file that was cut off, or fails without a line. So what these
functions let through is whole: as many atoms as announced, as many columns in each row, finite numbers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ase.data import atomic_numbers

from lammps_jobs.bonds.data_columns import check_elements, check_style
from lammps_jobs.bonds.errors import Refused

__all__ = ["Frame", "Lines", "data_frames", "dump_frames", "is_element", "xyz_frames"]

_PROPERTIES = re.compile(r'Properties\s*=\s*"?([^"\s]+)"?', re.IGNORECASE)
_COORDINATES = (("x", "y", "z"), ("xs", "ys", "zs"), ("xu", "yu", "zu"), ("xsu", "ysu", "zsu"))
_DATA_HEADER = re.compile(r"\s*(\d+)\s+(atoms|atom types)\s*(#.*)?$")
_DATA_SECTION = re.compile(r"[A-Z][A-Za-z ]*$")


@dataclass(frozen=True)
class Frame:
    """One structure of a file, as text.

    Attributes
    ----------
    text
        Its lines, newlines included.
    line
        Where it begins in the file, from 1.
    rows
        For each atom, in the order that ASE gives them, the line that it stands in.
    """

    text: str
    line: int
    rows: Sequence[int]


def is_element(symbol: str) -> bool:
    """Whether that is the symbol of a chemical element, such as ``Cu``; ``X``, which ASE uses for none, is not."""
    return atomic_numbers.get(symbol, 0) > 0


class Lines:
    """The lines of an open file, counted, so that a file of any length is read a frame at a time.

    Attributes
    ----------
    path
        What refusals call the file.
    number
        Of the last line that was taken, from 1.
    """

    def __init__(self, path: str, lines: Iterable[str]) -> None:
        self.path, self.number = path, 0
        self._lines = iter(lines)

    def take(self) -> str:
        """The next line, newline included; empty after the last one."""
        line = next(self._lines, "")
        self.number += bool(line)
        return line


def xyz_frames(lines: Lines) -> Iterator[Frame]:
    """The frames of an (extended) XYZ file. Raises Refused with the line."""
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
                raise Refused(f"{words[symbol]!r} is no chemical element", path, lines.number)
            _finite(path, lines.number, words[position : position + 3])
            rows.append(row)
        if not rows[-1].endswith("\n") and count > 1 and _shorter(rows[-1], rows[-2]):
            last = rows[-1].split()[-1]
            _broken(path, lines.number, f"{last!r} has fewer digits than the row above and no line end")
        yield Frame("".join([first, comment, *rows]), begin, range(begin + 2, begin + 2 + count))


def dump_frames(lines: Lines, types: Sequence[str] | None) -> Iterator[Frame]:
    """The frames of a LAMMPS dump in text form. Raises Refused with the line."""
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
    """The one frame of a LAMMPS data file. Raises Refused with the line."""
    path, lines = source.path, list(iter(source.take, ""))
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
        raise Refused("the header of the data file does not say how many atoms there are, or that there are none", path)
    if len(rows) != count:
        _broken(path, len(lines), f"the section Atoms ends after {len(rows)} of {count} atoms")
    if types is None and "Masses" not in sections and "Atom Type Labels" not in sections:
        raise Refused(
            "nothing says which element each type is: the file has no section Masses (name them with --types Cu Zr …)",
            path,
        )
    begin = begins["Atoms"]
    check_style(path, begin + 1, lines[begin].partition("#")[2].strip(), lines[rows[0]])
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
    """Take a frame's rows, under the line ``ITEM: ATOMS`` that ends `text`, into it; their lines in the order of ids."""
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
            "the dump does not say which element each atom is: name those of types 1, 2, … with --types Cu Zr …, or "
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
                raise Refused(f"{words[element]!r} is no chemical element", path, lines.number)
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
    """The next line of a dump, which LAMMPS ends with a line end, always."""
    line = lines.take()
    if not line:
        _broken(lines.path, lines.number, what)
    if not line.endswith("\n"):
        _broken(lines.path, lines.number, "the last line has no end")
    return line


def _order(path: str, ids: Sequence[int], rows: Sequence[int]) -> list[int]:
    """The rows in the order of their ids."""
    pairs = sorted(zip(ids, rows, strict=True))
    for (one, _), (other, line) in itertools.pairwise(pairs):
        if one == other:
            raise Refused(f"atom {one} is there twice", path, line)
    return [line for _, line in pairs]


def _xyz_columns(path: str, comment: str, line: int) -> tuple[int, int, int]:
    """How many columns a row has, and where the symbol and the position are."""
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
        raise Refused(f"Properties={found[1]}: expected species:S:1:pos:R:3, with more of the kind or not", path, line)
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
        raise Refused(f"{word!r} is no finite number", path, line)


def _whole_row(path: str, line: int, text: str, found: int, expected: int) -> None:
    if found != expected:
        cut = "" if text.endswith("\n") else ": the file breaks off in the middle of it"
        raise Refused(f"the row has {found} columns, expected {expected}{cut}", path, line)


def _shorter(text: str, above: str) -> bool:
    one, other = text.split()[-1], above.split()[-1]
    return len(one.partition(".")[2]) < len(other.partition(".")[2])


def _broken(path: str, line: int, what: str) -> NoReturn:
    raise Refused(f"the file breaks off: {what}", path, line)
