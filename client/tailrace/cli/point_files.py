"""Points in a file: CSV with a header line, or one JSON object per line."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from typing import Any, TextIO

from tailrace.cli.arguments import value_and_text
from tailrace.errors import Unusable
from tailrace.observations.damaged_numbers import damage_of
from tailrace.observations.exported_rows import features_of, is_exported
from tailrace.observations.text_values import TextFeatures

__all__ = ["points_in", "rows_in"]

MISSING = {"NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "None", "-", "--", "?", "."}
"""What programs write for a value that is missing; where a column has numbers, none of these is a category."""


def points_in(name: str) -> Iterator[dict[str, Any]]:
    """Yields the points of a file, or the features of an exported log. Raises like `rows_in`."""
    for _, row in rows_in(name):
        if is_exported(row):
            yield features_of(row)
        elif "seq" in row and isinstance(row.get("x"), dict):
            yield row["x"]
        else:
            yield row


def rows_in(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the line number and content of each row of a file. The name ``-`` means standard input.

    Empty cells of a CSV are left out. A byte order mark, which spreadsheets write, is skipped, and so are blanks around a
    cell, as in ``x, y``, except in an exported log.

    Raises
    ------
    Unusable
        If the file cannot be read, a line is not a point, or a name occurs twice in it. The message names the line.
    """
    try:
        place = 0 if name == "-" else name
        if place and (reason := _no_text(name)):
            raise Unusable(f"{name} {reason}")
        with open(place, newline="", encoding="utf-8-sig", closefd=bool(place)) as lines:
            yield from _of_csv(lines, name) if name.lower().endswith(".csv") else _of_any(lines, name)
    except OSError as error:
        raise Unusable(f"{name} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unusable(f"{name} is not text in UTF-8") from None


def _no_text(name: str) -> str | None:
    """Returns what a file is, if its first bytes are those of something else than text."""
    if not os.path.isfile(name):
        return None
    with open(name, "rb") as file:
        begin = file.read(4)
    return next((said for first, said in _OTHERS.items() if begin.startswith(first)), None)


_OTHERS = {
    b"PK\x03\x04": "is a spreadsheet or a ZIP archive: save it as CSV",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet: save it as CSV",
    b"\x1f\x8b": "is compressed: unpack it, as in `gzip -dc FILE | tailrace … --file -`",
    b"PAR1": "is a Parquet file: write it as CSV",
    b"\xff\xfe": "is text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "is text in UTF-16: save it as UTF-8",
}


def _of_any(lines: TextIO, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    first = lines.readline()
    if first.lstrip().startswith("["):
        raise Unusable(f"{name}, line 1: a list in JSON: expected one object per line, without brackets around them")
    rest = _with_first(first, lines)
    # A header line can't start like a JSON object.
    yield from _of_json(rest, name) if first.lstrip().startswith("{") or not first.strip() else _of_csv(rest, name)


def _with_first(first: str, lines: TextIO) -> Iterator[str]:
    yield first
    yield from lines


def _of_csv(lines: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = _csv_rows(lines, name)
    start, header = next(rows, (1, []))
    for feature in header:
        if feature and header.count(feature) > 1:
            raise Unusable(f"{name}, line {start}: the header has {feature!r} twice: expected each name once")
    if len(header) == 1 and (mark := next((one for one in (";", "\t", "|") if one in header[0]), None)):
        raise Unusable(f"{name}, line {start}: the columns are separated by {mark!r}: expected commas")
    # Exports may contain line breaks in cells. In other files, a line break means that a quote is probably not closed.
    may_break = is_exported(header)
    column = _Columns(name)
    for number, row in rows:
        if len(row) != len(header):
            raise Unusable(f"{name}, line {number}: it has more or fewer cells than the header line")
        if row == header:
            raise Unusable(f"{name}, line {number}: the header line again (are these several files?): leave it out")
        found = TextFeatures()
        for feature, cell in zip(header, row):  # noqa: B905 - Python 3.9
            if cell == "":
                continue
            if not feature:
                raise Unusable(
                    f"{name}, line {number}: the cell {cell!r:.80} has no name in the header line: name its column or leave it out (pandas: "
                    "index=False)"
                )
            if not may_break and ("\n" in cell or "\r" in cell):
                raise Unusable(f"{name}, line {number}: a cell holds a line break: is a quote not closed?")
            try:
                found[feature], text = value_and_text(feature, cell)
            except Unusable as error:
                raise Unusable(f"{name}, line {number}: {error}") from None
            if text is not None:
                found.texts[feature] = text
            if not may_break and found[feature] == cell and (what := damage_of(cell)):
                quoted = cell.replace('"', '""')
                raise Unusable(
                    f'{name}, line {number}: {feature} is {cell}: this seems to be {what}; write text as """{quoted}"""'
                )
            if not may_break:
                column.check(number, feature, found[feature])
        yield number, found


class _Columns:
    """Tells a missing value from a category, by what else its column holds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: dict[str, tuple[int, Any]] = {}
        self._marks: dict[str, tuple[int, Any]] = {}

    def check(self, line: int, column: str, value: Any) -> None:
        """Refuse a mark such as NA in a column that has numbers. Raises Unusable."""
        if isinstance(value, str):
            if value not in MISSING:
                return
            self._marks.setdefault(column, (line, value))
        else:
            self._numbers.setdefault(column, (line, value))
        if column in self._marks and column in self._numbers:
            (line, mark), (other, number) = self._marks[column], self._numbers[column]
            raise Unusable(
                f"{self._name}, line {line}: {column} is {mark}, and {number} in line {other}: leave the cell of a missing "
                "value empty"
            )


def _csv_rows(lines: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows that are not empty, each with the number of its first line, without blanks around cells.

    Cells of an exported log stay as they are: its texts may begin or end with blanks.
    """
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    before, is_header, as_it_is = 0, True, False
    while True:
        start = before + reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise Unusable(f"{name}, line {start}: not valid CSV ({error}): is a quote not closed?") from None
        if row is None:
            return
        if row and not as_it_is:
            row = [cell.strip(" \t") for cell in row]
        if row and is_header:
            is_header, as_it_is = False, is_exported(row)
            if as_it_is:
                before, reader = before + reader.line_num, csv.reader(lines, strict=True)
        if row:
            yield start, row


def _of_json(lines: Iterator[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            point = json.loads(line, object_pairs_hook=_members)
        except Unusable as error:
            raise Unusable(f"{name}, line {number}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise Unusable(f"{name}, line {number}: not valid JSON ({error})") from None
        if not isinstance(point, dict):
            raise Unusable(f"{name}, line {number}: {line.strip()[:60]!r} is not an object of features")
        yield number, point


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object, and refuses a name that occurs twice. Without this check, the last value would be used."""
    members: dict[str, Any] = {}
    for member, value in pairs:
        if member in members:
            raise Unusable(f"an object has {member!r} twice: expected each name once")
        members[member] = value
    return members
