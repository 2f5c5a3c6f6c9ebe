"""Reads files ``run-*.wandb``: a log of records, each a message of Protocol Buffers. The library ``wandb`` is not needed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from tailrace.tracking.importers.imported import Unreadable

__all__ = ["fields", "read_records"]

BLOCK = 32768
HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
MAGIC = b":W&B"
LARGEST_RECORD = 2**28


def read_records(path: str) -> Iterator[bytes]:
    """Yields the records. The end that a killed process did not write is left out.

    Raises
    ------
    Unreadable
        If it is not such a file.
    """
    with open(path, "rb") as file:
        block = file.read(BLOCK)
        if not block.startswith(MAGIC):
            raise Unreadable(f"{path} is not a file of W&B: it begins with {block[:8]!r}")
        position = 7
        gathered = b""
        while block:
            while position + HEADER.size <= len(block):
                checksum, size, kind = HEADER.unpack_from(block, position)
                data = block[position + HEADER.size : position + HEADER.size + size]
                if len(data) < size or kind not in (FULL, FIRST, MIDDLE, LAST):
                    return
                if zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
                    return
                position += HEADER.size + size
                gathered = data if kind in (FULL, FIRST) else gathered + data
                if len(gathered) > LARGEST_RECORD:
                    raise Unreadable(f"{path}: a record has more than {LARGEST_RECORD} bytes")
                if kind in (FULL, LAST):
                    yield gathered
                    gathered = b""
            block = file.read(BLOCK)
            position = 0


def fields(message: bytes) -> Iterator[tuple[int, int | bytes | float]]:
    """Yields number and value of each field of a message: whole numbers, floats, and bytes.

    Raises
    ------
    ValueError
        If it is not a message.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        value: int | bytes | float
        if kind == 0:
            value, position = _varint(message, position)
        elif kind == 1:
            value, position = struct.unpack_from("<d", message, position)[0], position + 8
        elif kind == 2:
            size, position = _varint(message, position)
            value, position = message[position : position + size], position + size
        elif kind == 5:
            value, position = struct.unpack_from("<f", message, position)[0], position + 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if position > len(message):
            raise ValueError("a field goes beyond the end")
        yield number, value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("a number has no end")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
