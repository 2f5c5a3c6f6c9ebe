"""Conversion of rows between backups and databases.

=========  ==========================================================
kind       in a backup
=========  ==========================================================
integer    number
float      number, with the fewest digits that give the same 64 bits
text       string
boolean    true or false
time       ISO 8601 in UTC with microseconds
bytes      base64
json       string: the column as text
=========  ==========================================================
"""

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from server.streams.log import moment

Row = list[Any]
Columns = Sequence[tuple[str, str]]


def expression(name: str, kind: str, vendor: str) -> str:
    """Return the SQL expression that reads a column."""
    return f'"{name}"::text' if kind == "json" and vendor == "postgresql" else f'"{name}"'


def _time(value: Any) -> str:
    return moment(value).astimezone(UTC).isoformat(timespec="microseconds")


def _bytes(value: Any) -> str:
    return base64.b64encode(value).decode()


_OUT: dict[str, Callable[[Any], Any]] = {"boolean": bool, "time": _time, "bytes": _bytes}


def outward(columns: Columns) -> Callable[[Sequence[Any]], Row]:
    """Return a function that converts rows of a database to rows of a backup."""
    return _converter([(n, _OUT[kind]) for n, (_, kind) in enumerate(columns) if kind in _OUT])


def _sqlite_time(value: str) -> str:
    # In Django's format, because SQLite compares times as text.
    return str(datetime.fromisoformat(value).replace(tzinfo=None))


_TO_SQLITE: dict[str, Callable[[Any], Any]] = {"time": _sqlite_time, "bytes": base64.b64decode}


def for_sqlite(columns: Columns) -> Callable[[Sequence[Any]], Row]:
    """Return a function that converts rows of a backup to parameters of an INSERT."""
    return _converter([(n, _TO_SQLITE[kind]) for n, (_, kind) in enumerate(columns) if kind in _TO_SQLITE])


def _text(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    return value.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


_TO_COPY: dict[str, Callable[[Any], str]] = {
    "integer": str,
    "float": repr,
    "text": _text,
    "json": _text,
    "boolean": str,
    "time": str,
    "bytes": lambda value: "\\\\x" + base64.b64decode(value).hex(),
}


def for_copy(columns: Columns) -> Callable[[Sequence[Any]], str]:
    """Return a function that converts rows of a backup to lines of PostgreSQL's COPY."""
    converters = [_TO_COPY[kind] for _, kind in columns]

    def line(row: Sequence[Any]) -> str:
        pairs = zip(converters, row, strict=True)
        return "\t".join(["\\N" if value is None else convert(value) for convert, value in pairs]) + "\n"

    return line


def _converter(special: list[tuple[int, Callable[[Any], Any]]]) -> Callable[[Sequence[Any]], Row]:
    def convert(row: Sequence[Any]) -> Row:
        converted = list(row)
        for index, function in special:
            if converted[index] is not None:
                converted[index] = function(converted[index])
        return converted

    return convert
