"""Reading a model's record: as columns, or into a file in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.atomic_files import replacing
from tailrace.display.progress_bar import ProgressBar
from tailrace.errors import Unusable
from tailrace.handles.stream import observation_number
from tailrace.results.records import Record

if TYPE_CHECKING:
    from tailrace.handles.session import Session

__all__ = ["ENDINGS", "FORMATS", "export", "extent", "pieces", "record"]

FORMATS = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
"""Media types of exports."""

ENDINGS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
"""Format of an export, by the ending of the file."""


def extent(session: Session, model: str, first: int | None = None, last: int | None = None) -> dict[str, int]:
    """Returns ``first`` and ``last`` of the recorded observations in a range, and how many are not recorded (``behind``)."""
    path = session.path("models", model, "record")
    found: dict[str, int] = session.send("GET", path, query={**_range(first, last), "buckets": 1})
    return found


def record(session: Session, model: str, first: int | None, last: int | None, unit: str = "") -> Record:
    """Returns a range of a model's record. A terminal shows the progress."""
    known = extent(session, model, first, last)
    low, high = known["first"], known["last"]
    columns: dict[str, list[Any]] = {}
    bar = ProgressBar(max(0, high - low + 1))
    try:
        if high >= low:
            for line in _lines(pieces(session, model, "ndjson", low, high)):
                row = json.loads(line)
                if not columns:
                    columns = {name: [] for name in row}
                for name, value in row.items():
                    columns[name].append(value)
                bar.show(len(columns["n"]))
    finally:
        bar.clear()
    if not columns:
        columns = {name: [] for name in ("n", "at", "y", "prediction", "scored", "skipped")}
    return Record(model, columns, known["behind"], unit)


def _lines(some: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in some:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def pieces(
    session: Session,
    model: str,
    kind: str,
    first: int | None = None,
    last: int | None = None,
    safe: str | None = None,
) -> Iterator[bytes]:
    """Yields a record as a file, in pieces, as the server sends it. ``kind`` is one of `FORMATS`."""
    if safe is not None and kind != "csv":
        raise Unusable("safe is for CSV, which spreadsheets open: choose the format csv, or leave it out")
    query = {**_range(first, last), "format": kind, **({} if safe is None else {"safe": safe})}
    return session.pieces(session.path("models", model, "record") + "export/", query, accept=FORMATS[kind])


def export(
    session: Session,
    model: str,
    path: Path,
    first: int | None = None,
    last: int | None = None,
    kind: str = "",
    safe: str | None = None,
) -> Path:
    """Write a record to a file, in constant memory. If it fails, it changes no file.

    Parameters
    ----------
    kind
        One of `FORMATS`. If empty, the ending of the path decides.
    safe
        ``"excel"``: CSV in which a spreadsheet does not read text as formulas.
    """
    kind = kind or ENDINGS.get(path.suffix.lower(), "")
    if not kind:
        raise Unusable(f"{path} has no known ending: expected a name that ends in {', '.join(ENDINGS)}")
    with replacing(path) as part, open(part, "wb") as file:
        for piece in pieces(session, model, kind, first, last, safe):
            file.write(piece)
    return path


def _range(first: int | None, last: int | None) -> dict[str, int]:
    given = {"first": first, "last": last}
    return {name: observation_number(value, name) for name, value in given.items() if value is not None}
