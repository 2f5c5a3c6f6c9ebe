"""Numbers by name that all processes of a machine keep, each in its own file, mapped into memory.

Keeping one costs no system call and no lock between processes. It outlives a crash (the pages belong to the kernel) and a
restart: a process goes on in the file of one that is gone (:mod:`server.streams.owned_files`), so what is counted never
falls, and reading all of it costs the same after a year of restarts.
"""

import logging
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from server.streams.owned_files import claimed

logger = logging.getLogger(__name__)

MOST = 2048
"""Names in one file; more are kept for this process alone, together under one name."""

NAME_BYTES = 192
LAYOUT = b"tailrace numbers 1"
"""How a file begins. What begins otherwise is of another version, and is begun anew."""

ENDING = "numbers"
_LENGTH = NAME_BYTES + MOST * (NAME_BYTES + 8)
_VALUES = NAME_BYTES + MOST * NAME_BYTES
_COUNT = len(LAYOUT)


class Slots:
    """This process's numbers. Whoever changes one holds :attr:`lock`.

    Parameters
    ----------
    directory
        Where the files are; None for memory that nobody else sees. Without room on disk it is that, too.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.lock = threading.Lock()
        self.file: BinaryIO | None = None
        if directory is not None:
            try:
                self.file = _open(directory)
            except OSError as exc:
                logger.warning("no file for metrics in %s: %s: this process counts for itself alone", directory, exc)
        self._map = mmap.mmap(-1 if self.file is None else self.file.fileno(), _LENGTH)
        self.values = memoryview(self._map)[_VALUES:].cast("d")
        if self._map[: len(LAYOUT)] != LAYOUT:
            self._map[:] = LAYOUT + bytes(_LENGTH - len(LAYOUT))
        self._slots = {name: slot for slot, name in enumerate(_names(self._map))}

    def slot(self, name: str) -> int:
        """Where the number of that name is in :attr:`values`; 0 at first."""
        with self.lock:
            found = self._slots.get(name)
            if found is None:
                encoded = name.encode()
                if len(encoded) > NAME_BYTES or len(self._slots) >= MOST - 1:
                    logger.warning("no room for the metric %s", name)
                    return MOST - 1
                found = self._slots[name] = len(self._slots)
                start = NAME_BYTES * (1 + found)
                self._map[start : start + NAME_BYTES] = encoded.ljust(NAME_BYTES, b"\0")
                count = len(self._slots)
                self._map[_COUNT : _COUNT + 4] = count.to_bytes(4, "little")  # last: whoever reads sees the name whole
            return found

    def read(self) -> dict[str, float]:
        """All numbers of this process."""
        return _numbers(bytes(self._map))


def _open(directory: Path) -> BinaryIO:
    file = claimed(directory, ENDING)
    try:
        os.posix_fallocate(file.fileno(), 0, _LENGTH)  # not a hole: writing to one kills the process on a full disk
    except OSError:
        file.close()
        raise
    return file


def read_all(directory: Path) -> Iterator[dict[str, float]]:
    """The numbers of each process that is there or was."""
    for path in sorted(directory.glob(f"*.{ENDING}")):
        data = path.read_bytes()
        if len(data) >= _LENGTH and data.startswith(LAYOUT):
            yield _numbers(data)


def _names(data: bytes | mmap.mmap) -> list[str]:
    count = int.from_bytes(data[_COUNT : _COUNT + 4], "little")
    starts = range(NAME_BYTES, NAME_BYTES * (1 + min(count, MOST)), NAME_BYTES)
    return [bytes(data[start : start + NAME_BYTES]).rstrip(b"\0").decode(errors="replace") for start in starts]


def _numbers(data: bytes) -> dict[str, float]:
    return dict(zip(_names(data), memoryview(data)[_VALUES:_LENGTH].cast("d"), strict=False))
