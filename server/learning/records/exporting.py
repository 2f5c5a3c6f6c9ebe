"""Records as files: CSV, NDJSON and Parquet, block by block, so memory use does not depend on the length of a record."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import numpy as np

from server.core.errors import Conflict
from server.core.json_codec import dumps
from server.core.spreadsheet_cells import escape_formula
from server.learning.models import Model
from server.learning.records import columns as stored
from server.learning.records import reading
from server.learning.records.columns import BANDS, SCORED, SKIPPED, Columns
from server.learning.records.recorder import CLASSES

COLUMNS = ("n", "at", "segment", "y", "prediction", "scored", "skipped", *BANDS)
"""Columns of every export, in this order. What a model doesn't give is empty."""

FORMATS = ("csv", "ndjson", "parquet")
ROW_GROUP = 16
"""Blocks in a row group of Parquet."""


def export(model: Model, low: int, high: int, kind: str, *, safe: bool = False) -> Iterator[bytes]:
    """Return an iterator over a file with the observations ``low`` to ``high``, of which all must be recorded.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    kind
        One of :data:`FORMATS`.
    safe
        CSV only: put an apostrophe before text that a spreadsheet would interpret as a formula.

    Raises
    ------
    Conflict
        If it is to be Parquet and pyarrow isn't installed.
    Unreadable
        At the call if the first block is missing or damaged, later at the first that is.
    """
    if kind == "parquet" and find_spec("pyarrow") is None:
        raise Conflict(
            "this server writes no Parquet, because pyarrow isn't installed on it (requirements/parquet.txt): ask for csv or ndjson",
            field="format",
            code="not_installed",
        )
    blocks = reading.blocks(model, low, high)
    first = next(blocks, None)
    write = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}[kind]
    return write(model, _again(first, blocks), safe)


def _again(first: Columns | None, blocks: Iterator[Columns]) -> Iterator[Columns]:
    if first is not None:
        yield first
        yield from blocks


def _csv(model: Model, blocks: Iterator[Columns], safe: bool) -> Iterator[bytes]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for block in blocks:
        columns = _lists(block)
        if safe:
            for name in ("segment", "y", "prediction"):
                columns[name] = [escape_formula(v) if isinstance(v, str) else v for v in columns[name]]
        for name in ("scored", "skipped"):
            columns[name] = ["true" if value else "false" for value in columns[name]]
        writer.writerows(zip(*(columns[name] for name in COLUMNS), strict=True))
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _ndjson(model: Model, blocks: Iterator[Columns], safe: bool) -> Iterator[bytes]:
    for block in blocks:
        columns = _lists(block)
        rows = zip(*(columns[name] for name in COLUMNS), strict=True)
        yield b"".join(dumps(dict(zip(COLUMNS, row, strict=True))) + b"\n" for row in rows)


def _lists(block: Columns) -> dict[str, list[Any]]:
    """Return the columns of an export as lists of text, numbers, booleans and None."""
    values, size = block.values, len(block)
    found: dict[str, list[Any]] = {
        "n": list(range(block.first, block.last + 1)),
        "at": [datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds") for at in values["at"].tolist()],
        "segment": [block.segments[index] for index in values["segment"].tolist()] if block.segments else [None] * size,
        "scored": (values["state"] == SCORED).tolist(),
        "skipped": (values["state"] == SKIPPED).tolist(),
    }
    for name in ("y", "prediction"):
        found[name] = _named(values[name], block.labels) if block.labels else reading.listed(values[name])
    for name in BANDS:
        found[name] = _shortest(values[name]) if name in values else [None] * size
    return found


def _named(indexes: np.ndarray, labels: list[str]) -> list[str | None]:
    return [None if index is None else labels[int(index)] for index in reading.listed(indexes)]


def _shortest(values: np.ndarray) -> list[float | None]:
    """Return numbers of four bytes with as few digits as tell them apart."""
    return [None if value is None else float(f"{value:.9g}") for value in reading.listed(values.astype(float))]


class _Sink(io.RawIOBase):
    """A file that keeps what is written to it until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _parquet(model: Model, blocks: Iterator[Columns], safe: bool) -> Iterator[bytes]:
    import pyarrow  # takes 50 MB of memory, so only processes that need it import it
    from pyarrow import parquet

    value = pyarrow.string() if model.flavor in CLASSES else pyarrow.float64()
    kinds = {
        "n": pyarrow.int64(), "at": pyarrow.timestamp("us", tz="UTC"), "segment": pyarrow.string(), "y": value,
        "prediction": value, "scored": pyarrow.bool_(), "skipped": pyarrow.bool_(),
    }  # fmt: skip
    fields = [pyarrow.field(name, kinds.get(name, pyarrow.float32())) for name in COLUMNS]
    schema = pyarrow.schema(fields, {"tailrace.model": model.name, "tailrace.unit": model.stream.target_unit})
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema) as file:
        waiting: list[Columns] = []
        for block in blocks:
            waiting.append(block)
            if len(waiting) == ROW_GROUP:
                file.write_table(_table(stored.joined(waiting), schema))
                waiting = []
                yield sink.take()
        if waiting:
            file.write_table(_table(stored.joined(waiting), schema))
    yield sink.take()


def _table(block: Columns, schema: Any) -> Any:
    import pyarrow

    values, size = block.values, len(block)
    columns: dict[str, Any] = {
        "n": np.arange(block.first, block.last + 1),
        "at": np.round(values["at"] * 1e6).astype(np.int64),
        "scored": values["state"] == SCORED,
        "skipped": values["state"] == SKIPPED,
    }
    if block.segments:
        names = pyarrow.array(block.segments, pyarrow.string())
        columns["segment"] = names.take(pyarrow.array(values["segment"]))
    for name in ("y", "prediction", *BANDS):
        own = values.get(name)
        if own is not None and name in ("y", "prediction") and block.labels:
            columns[name] = pyarrow.array(_named(own, block.labels), pyarrow.string())
        elif own is not None and schema.field(name).type != pyarrow.string():
            columns[name] = pyarrow.array(own, schema.field(name).type, mask=~np.isfinite(own))
    arrays = [
        pyarrow.array(columns[field.name], field.type) if field.name in columns else pyarrow.nulls(size, field.type)
        for field in schema
    ]
    return pyarrow.Table.from_arrays(arrays, schema=schema)
