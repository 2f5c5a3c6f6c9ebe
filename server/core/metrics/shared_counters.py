"""Named numbers of all processes of a machine. Each process has its own memory-mapped file.

An update needs no system call and no lock between processes. The numbers survive a crash, because the kernel owns the pages.
They survive a restart, because a new process takes over the file of one that has ended
(:mod:`server.core.process_files`). So counters never fall, and the number of files doesn't grow with restarts.
"""

import logging
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from server.core.process_files import claim_file

logger = logging.getLogger(__name__)

MAX_NAMES = 8192
"""Largest number of names in one file. All further names share one slot."""

NAME_BYTES = 192
HEADER = b"tailrace numbers 2"
"""The first bytes of a file. A file with other first bytes is of another version and is overwritten."""

SUFFIX = "numbers"
_LENGTH = NAME_BYTES + MAX_NAMES * (NAME_BYTES + 8)
_VALUES = NAME_BYTES + MAX_NAMES * NAME_BYTES
_COUNT = len(HEADER)


class Slots:
    """The numbers of this process. Hold :attr:`lock` to change one.

    Parameters
    ----------
    directory
        The directory of the files. If it is None, or if the disk is full, the numbers are in private memory.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.lock = threading.Lock()
        self.file: BinaryIO | None = None
        if directory is not None:
            try:
                self.file = _open(directory)
            except OSError as exc:
                logger.warning(
                    "can't create a file for metrics in %s: %s; the metrics of this process are not shared",
                    directory,
                    exc,
                )
        self._map = mmap.mmap(-1 if self.file is None else self.file.fileno(), _LENGTH)
        self.values = memoryview(self._map)[_VALUES:].cast("d")
        if self._map[: len(HEADER)] != HEADER:
            self._map[:] = HEADER + bytes(_LENGTH - len(HEADER))
        self._slots = {name: slot for slot, name in enumerate(_names(self._map))}

    def slot(self, name: str) -> int:
        """Return the index in :attr:`values` of the number with that name. A new number is 0."""
        with self.lock:
            found = self._slots.get(name)
            if found is None:
                encoded = name.encode()
                if len(encoded) > NAME_BYTES or len(self._slots) >= MAX_NAMES - 1:
                    logger.warning("the file for metrics has no room for the metric %s", name)
                    return MAX_NAMES - 1
                found = self._slots[name] = len(self._slots)
                start = NAME_BYTES * (1 + found)
                self._map[start : start + NAME_BYTES] = encoded.ljust(NAME_BYTES, b"\0")
                count = len(self._slots)
                self._map[_COUNT : _COUNT + 4] = count.to_bytes(
                    4, "little"
                )  # last, so that readers see only complete names
            return found

    def read(self) -> dict[str, float]:
        """Return all numbers of this process, by name."""
        return _numbers(bytes(self._map))


def _open(directory: Path) -> BinaryIO:
    file = claim_file(directory, SUFFIX)
    try:
        os.posix_fallocate(file.fileno(), 0, _LENGTH)  # a write to a sparse page kills the process if the disk is full
    except OSError:
        file.close()
        raise
    return file


def read_all(directory: Path) -> Iterator[dict[str, float]]:
    """Yield the numbers of each process, running or ended."""
    for path in sorted(directory.glob(f"*.{SUFFIX}")):
        data = path.read_bytes()
        if len(data) >= _LENGTH and data.startswith(HEADER):
            yield _numbers(data)


def _names(data: bytes | mmap.mmap) -> list[str]:
    count = int.from_bytes(data[_COUNT : _COUNT + 4], "little")
    starts = range(NAME_BYTES, NAME_BYTES * (1 + min(count, MAX_NAMES)), NAME_BYTES)
    return [bytes(data[start : start + NAME_BYTES]).rstrip(b"\0").decode(errors="replace") for start in starts]


def _numbers(data: bytes) -> dict[str, float]:
    return dict(zip(_names(data), memoryview(data)[_VALUES:_LENGTH].cast("d"), strict=False))
