"""The file of a backup: lines of JSON, compressed as gzip, with a checksum of every section and one of the whole file.

``zcat`` shows it: a header; for each table a line that names it and its columns, a row a line as a JSON array, and a line with its number of
rows and their SHA-256; a last line. Behind that comes a second gzip member of constant length, stored, not compressed:
the SHA-256 of all bytes of the file before it. So whichever byte is altered, it shows.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from server.operations.backup.errors import BackupError, Damaged, Newer
from server.operations.backup.values import Columns
from server.streams.codec import dumps, loads

FORMAT = "tailrace-backup"
VERSION = 1
LEVEL = 2
"""Measured on a log of three features: 75 MB/s to a 2.6th; level 6 takes three times as long for a 2.9th."""

CHUNK = 2**18
_GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def _trailer(digest: str) -> bytes:
    """The last member, made by hand, so that there is one way alone to write it."""
    line = dumps({"sha256": digest}) + b"\n"
    stored = struct.pack("<BHH", 1, len(line), len(line) ^ 0xFFFF) + line
    return _GZIP + stored + struct.pack("<II", zlib.crc32(line), len(line))


TRAILER = len(_trailer("0" * 64))
_TRAILER_BEGINS = _trailer("0" * 64)[: len(_GZIP) + 5]


class Writer:
    """Writes a backup.

    Parameters
    ----------
    file
        Where to; it is neither flushed nor closed.
    header
        What :attr:`Reader.header` will give.

    Raises
    ------
    OSError
        From every method, as the file raises it.
    """

    def __init__(self, file: BinaryIO, header: dict[str, Any]) -> None:
        self._file = file
        self._whole = hashlib.sha256()
        self._gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
        self._section = hashlib.sha256()
        self._table = ""
        self._rows = 0
        self.size = 0
        """Bytes written."""
        self._compress(dumps({"format": FORMAT, "version": VERSION, **header}) + b"\n")

    def begin(self, table: str, columns: Columns) -> None:
        """Begin the section of a table."""
        self._table, self._rows, self._section = table, 0, hashlib.sha256()
        self._compress(dumps({"table": table, "columns": columns}) + b"\n")

    def rows(self, rows: list[list[Any]]) -> None:
        """Add rows to the section."""
        lines = b"".join([dumps(row) + b"\n" for row in rows])
        self._rows += len(rows)
        self._section.update(lines)
        self._compress(lines)

    def end(self) -> None:
        """End the section."""
        self._compress(dumps({"end": self._table, "rows": self._rows, "sha256": self._section.hexdigest()}) + b"\n")

    def finish(self) -> None:
        """Write what is left. Nothing may be added afterwards."""
        self._compress(dumps({"end": FORMAT}) + b"\n")
        self._write(self._gzip.flush())
        self._file.write(_trailer(self._whole.hexdigest()))
        self.size += TRAILER

    def _compress(self, plain: bytes) -> None:
        self._write(self._gzip.compress(plain))

    def _write(self, data: bytes) -> None:
        self._whole.update(data)
        self._file.write(data)
        self.size += len(data)


class Reader:
    """Reads a backup, and finds on the way whether it is whole.

    Parameters
    ----------
    file
        Where from; it need not be seekable.

    Raises
    ------
    Damaged
        Here or while it is read: what was read before is then not to be used.
    Newer
        If this version doesn't know its format.
    BackupError
        If it is no backup at all.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._more = _lines(_plain(file))
        self._pending: list[bytes] = []
        self.header = self._head()

    def tables(self) -> Iterator[tuple[str, Columns, Iterator[list[list[Any]]]]]:
        """Each table's name and columns, and its rows, some at a time: to be read to their end before the next table's."""
        while True:
            line = self._next()
            if line.get("end") == FORMAT:
                self._at_the_end()
                return
            if "table" not in line:
                raise Damaged("a line stands where a table should begin")
            yield line["table"], line["columns"], self._rows(line["table"])

    def _head(self) -> dict[str, Any]:
        try:
            header = self._next()
        except Damaged as exc:
            raise BackupError(f"it is no backup of Tailrace ({exc})") from exc
        if header.get("format") != FORMAT:
            raise BackupError("it is no backup of Tailrace")
        if header.get("version") != VERSION:
            raise Newer(
                f"it has format {header.get('version')}, made by Tailrace {header.get('tailrace')}, and this version knows "
                f"format {VERSION}: restore it with the version that made it, or a newer one"
            )
        return header

    def _rows(self, table: str) -> Iterator[list[list[Any]]]:
        digest, count = hashlib.sha256(), 0
        while lines := self._some():
            control = next((n for n, line in enumerate(lines) if not line.startswith(b"[")), len(lines))
            rows, self._pending = lines[:control], lines[control:]
            if rows:
                digest.update(b"\n".join(rows) + b"\n")
                count += len(rows)
                yield [_decoded(row) for row in rows]
            if self._pending:
                break
        if self._next() != {"end": table, "rows": count, "sha256": digest.hexdigest()}:
            raise Damaged(f"table {table} is not what was written")

    def _next(self) -> dict[str, Any]:
        lines = self._some()
        if not lines:
            raise Damaged("it is cut short")
        self._pending = lines[1:]
        found = _decoded(lines[0])
        if not isinstance(found, dict):
            raise Damaged("a row stands outside of a table")
        return found

    def _some(self) -> list[bytes]:
        """The next lines; none at the end."""
        lines, self._pending = self._pending, []
        return lines or next(self._more, [])

    def _at_the_end(self) -> None:
        if self._some():  # which also reads on to the checksum of the whole
            raise Damaged("something follows its last line")


def check(file: BinaryIO) -> None:
    """Whether a seekable file ends with the checksum of what stands before; left at its beginning.

    Raises
    ------
    Damaged
        If it doesn't: it was cut short or altered.
    BackupError
        If it doesn't begin as a backup does.
    """
    if file.read(3) != _GZIP[:3]:
        raise BackupError("it is no backup of Tailrace")
    file.seek(0)
    for _ in _body(file):
        pass
    file.seek(0)


def _body(file: BinaryIO) -> Iterator[bytes]:
    """All but the trailer, which is then compared with what it has to be."""
    digest, held = hashlib.sha256(), b""
    while chunk := file.read(CHUNK):
        held += chunk
        body, held = held[:-TRAILER], held[-TRAILER:]
        digest.update(body)
        yield body
    if held == _trailer(digest.hexdigest()):
        return
    if held.startswith(_TRAILER_BEGINS):
        raise Damaged("it was altered: its checksum is another")
    raise Damaged("it is cut short, or altered at its end: its checksum is not there")


def _plain(file: BinaryIO) -> Iterator[bytes]:
    """What the file holds, decompressed, some at a time."""
    gzip = zlib.decompressobj(31)
    try:
        for body in _body(file):
            while body and not gzip.eof:
                yield gzip.decompress(body, 4 * CHUNK)
                body = gzip.unconsumed_tail
            if gzip.unused_data or (gzip.eof and body):
                raise Damaged("something follows its end")
    except zlib.error as exc:
        raise Damaged(f"it was altered: {exc}") from exc
    if not gzip.eof:
        raise Damaged("it is cut short")


def _lines(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Whole lines without their ends, some at a time."""
    begun: list[bytes] = []
    for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        begun.append(first)
        if rest:
            yield [b"".join(begun), *rest[:-1]]
            begun = [rest[-1]]
    if any(begun):
        raise Damaged("it is cut short in a line")


def _decoded(line: bytes) -> Any:
    try:
        return loads(line)
    except ValueError as exc:
        raise Damaged(f"a line is no JSON ({exc})") from exc
