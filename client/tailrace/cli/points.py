"""Points in a file: CSV with a line of names, or one JSON object a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, TextIO

from tailrace.cli.arguments import value_and_text
from tailrace.errors import Unusable
from tailrace.exported import features_of, is_exported
from tailrace.written import Given

__all__ = ["points_in", "rows_in"]


def points_in(name: str) -> Iterator[dict[str, Any]]:
    """The points of a file, or the features of an exported log; raises as `rows_in` does."""
    for _, row in rows_in(name):
        if is_exported(row):
            yield features_of(row)
        elif "seq" in row and isinstance(row.get("x"), dict):
            yield row["x"]
        else:
            yield row


def rows_in(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of each row of a file; ``-`` is standard input. An empty cell of a CSV is left out.

    Raises
    ------
    Unusable
        If it can't be read, or a line is no point; the message names the line.
    """
    try:
        place = 0 if name == "-" else name
        with open(place, newline="", encoding="utf-8", closefd=bool(place)) as lines:
            yield from _of_csv(lines, name) if name.lower().endswith(".csv") else _of_any(lines, name)
    except OSError as error:
        raise Unusable(f"{name} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unusable(f"{name} is no text in UTF-8") from None


def _of_any(lines: TextIO, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    first = lines.readline()
    rest = _with_first(first, lines)
    # A line of names can't begin as an object does.
    yield from _of_json(rest, name) if first.lstrip().startswith("{") or not first.strip() else _of_csv(rest, name)


def _with_first(first: str, lines: TextIO) -> Iterator[str]:
    yield first
    yield from lines


def _of_csv(lines: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(lines)
    for row in reader:
        if None in row or None in row.values():
            raise Unusable(f"{name}, line {reader.line_num}: it has more or fewer cells than the line of names")
        try:
            read = {feature: value_and_text(feature, cell) for feature, cell in row.items() if cell != ""}
        except Unusable as error:
            raise Unusable(f"{name}, line {reader.line_num}: {error}") from None
        texts = {feature: text for feature, (_, text) in read.items() if text is not None}
        yield reader.line_num, Given({feature: value for feature, (value, _) in read.items()}, texts)


def _of_json(lines: Iterator[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            point = json.loads(line)
        except ValueError as error:
            raise Unusable(f"{name}, line {number}: no JSON ({error})") from None
        if not isinstance(point, dict):
            raise Unusable(f"{name}, line {number}: {line.strip()[:60]!r} is no object of features")
        yield number, point
