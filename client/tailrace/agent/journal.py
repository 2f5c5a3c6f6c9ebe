"""`Journal`: what the agent has done and means to do, one line for each change, on disk before it counts."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tailrace.atomic_files import replacing
from tailrace.errors import TailraceError

__all__ = ["Journal", "JournalFailed"]

HEAD = {"journal": 1}
COMPACT_AT = 4 << 20
"""Bytes after which the journal is worth writing anew."""


class JournalFailed(TailraceError):
    """The journal cannot be written or read. What was to be recorded did not happen."""


class Journal:
    """An append-only file of JSON lines.

    Parameters
    ----------
    path
        The file. It is made if there is none.

    Attributes
    ----------
    records
        What it held when it was opened.

    Raises
    ------
    JournalFailed
        If it cannot be opened, or a line other than the last is not valid.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        try:
            content = path.read_bytes() if path.exists() else b""
            self.records, length = _read(path, content)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._file, length)  # a line that was cut off by a crash never counted
            self._size = length
            if not length:
                self._append(HEAD)
        except OSError as error:
            raise JournalFailed(f"{path} can't be opened: {error.strerror or error}") from None

    @property
    def is_long(self) -> bool:
        """Whether it is worth to `rewrite` it."""
        return self._size > COMPACT_AT

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record. When this returns, it is on disk. Raises JournalFailed if it is not."""
        with self._mutex:
            try:
                self._append(record)
            except OSError as error:
                # Part of the line may be there: the next one must not follow it.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise JournalFailed(f"{self._path} can't be written: {error.strerror or error}") from None

    def rewrite(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace all records by these. Raises JournalFailed if that fails; then the old ones stay."""
        with self._mutex:
            try:
                with replacing(self._path) as part:
                    part.write_bytes(b"".join(map(_line, [HEAD, *records])))
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            except OSError as error:
                raise JournalFailed(f"{self._path} can't be written anew: {error}") from None
            os.close(self._file)
            self._file, self._size = descriptor, os.fstat(descriptor).st_size

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, record: Mapping[str, Any]) -> None:
        line = _line(record)
        written = os.pwrite(self._file, line, self._size)
        if written < len(line):
            written += os.pwrite(self._file, line[written:], self._size + written)  # says why it is short
        os.fdatasync(self._file)
        self._size += len(line)


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _read(path: Path, content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Returns the records, and the length of the valid part."""
    records: list[dict[str, Any]] = []
    place = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            record = json.loads(line)
            valid = isinstance(record, dict) and line.endswith(b"\n")
        except ValueError:
            valid = False
        if not valid:
            if place + len(line) < len(content):
                raise JournalFailed(
                    f"line {number} of {path} is not valid, and it is not the last: the disk may have lost something. Look at "
                    "it, and delete that line if nothing runs that it could tell of"
                )
            break
        if number == 1 and record != HEAD:
            raise JournalFailed(f"{path} starts with {line[:60]!r}: expected the journal of this version, {HEAD}")
        if number > 1:
            records.append(record)
        place += len(line)
    return records, place
