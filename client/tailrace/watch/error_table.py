"""`DriftTable`: the table of errors that `tailrace watch` writes, with one line per observation and model."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tailrace.atomic_files import replacing
from tailrace.errors import TailraceError
from tailrace.watch.follower import Row

__all__ = ["DriftTable", "ForeignTable", "StoredError"]

COLUMNS = list(Row._fields)
MODEL, STREAM, SEQ, ERROR = (COLUMNS.index(name) for name in ("model", "stream", "seq", "error"))


class ForeignTable(TailraceError):
    """The file is not a table of errors, or another program changed it. Move it away, or name another file."""


class StoredError(NamedTuple):
    """One line that an earlier run wrote, with the columns that a new run needs to continue."""

    model: str
    stream: str
    seq: int
    error: float | None


class DriftTable:
    """A CSV file of errors, to which rows are added.

    Each write copies the file, adds the rows to the copy, and renames the copy. So readers see either the old file or
    the new one.

    Parameters
    ----------
    path
        The file. The first write creates it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._version = self._file_version()

    def rows(self) -> Iterator[StoredError]:
        """Yields the rows of the file, in order.

        Raises
        ------
        ForeignTable
            If the file is not a table of errors.
        """
        if self._version is None:
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
                    yield StoredError(cells[MODEL], cells[STREAM], int(cells[SEQ]), error)
                except (IndexError, ValueError) as wrong:
                    raise ForeignTable(
                        f"{self.path}, line {reader.line_num}: not a row of this table ({wrong})"
                    ) from None

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows. When this returns, they are on disk.

        Raises
        ------
        ForeignTable
            If another program has changed the file since this one read or wrote it.
        NotWritten
            If the file cannot be written. It is then unchanged.
        """
        if self._file_version() != self._version:
            raise ForeignTable(f"{self.path} was changed by another program: is another watch writing it?")
        with replacing(self.path) as part:
            if self._version is not None:
                shutil.copyfile(self.path, part)
            with open(part, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if self._version is None:
                    writer.writerow(COLUMNS)
                writer.writerows([_cell(value) for value in row] for row in rows)
        self._version = self._file_version()

    def _file_version(self) -> tuple[int, int, int] | None:
        """Returns numbers that change if another program changes the file. None if there is no file."""
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
