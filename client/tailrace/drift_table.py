"""The table that `tailrace watch` writes: one line for each observation and model, always whole."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tailrace.errors import TailraceError
from tailrace.files import replacing
from tailrace.following import Row

__all__ = ["DriftTable", "ForeignTable", "Kept"]

COLUMNS = list(Row._fields)
MODEL, STREAM, SEQ, ERROR = (COLUMNS.index(name) for name in ("model", "stream", "seq", "error"))


class ForeignTable(TailraceError):
    """The file is not this table, or something else changed it meanwhile; move it away or name another."""


class Kept(NamedTuple):
    """What an earlier run found: enough to go on from it."""

    model: str
    stream: str
    seq: int
    error: float | None


class DriftTable:
    """A CSV file that grows by rows and is never seen half-written.

    Each write makes a copy with the new rows beside the file, and renames it: readers see the old file or the new one.

    Parameters
    ----------
    path
        Made at the first write.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._mark = self._look()

    def rows(self) -> Iterator[Kept]:
        """What the file holds, in its order.

        Raises
        ------
        ForeignTable
            If it is not such a table.
        """
        if self._mark is None:
            return
        with open(self.path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if next(reader, None) != COLUMNS:
                raise ForeignTable(
                    f"{self.path} is not a table of drift: its first line must be {','.join(COLUMNS)}. "
                    "Name another file, or move this one away"
                )
            for cells in reader:
                try:
                    error = float(cells[ERROR]) if cells[ERROR] else None
                    yield Kept(cells[MODEL], cells[STREAM], int(cells[SEQ]), error)
                except (IndexError, ValueError) as wrong:
                    raise ForeignTable(f"{self.path}, line {reader.line_num}: no row of this table ({wrong})") from None

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows, durably.

        Raises
        ------
        ForeignTable
            If another program has changed the file since this one read or wrote it.
        NotWritten
            If the disk doesn't let it; the file is as it was.
        """
        if self._look() != self._mark:
            raise ForeignTable(f"{self.path} was changed by another program: is another watch writing it?")
        with replacing(self.path) as part:
            if self._mark is not None:
                shutil.copyfile(self.path, part)
            with open(part, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if self._mark is None:
                    writer.writerow(COLUMNS)
                writer.writerows([_cell(value) for value in row] for row in rows)
        self._mark = self._look()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, (bool, dict, list)):
        return json.dumps(value)
    return value
