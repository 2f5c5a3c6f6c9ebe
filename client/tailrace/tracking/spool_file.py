"""`SpoolFile`: the file that one process appends the lines of one run to, and what is not on disk yet."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["SLOW_SECONDS", "SpoolFile"]

SLOW_SECONDS = 0.05
SLOW_WRITES = 3
"""So many writes in a row that take longer show that the disk is slow, and not only the machine busy. Lines are kept in memory
then, and a thread writes them. Until it has, they are lost if the process is killed.
"""

MOST_PENDING = 64 * 2**20
"""Most bytes in memory. Lines beyond are dropped and counted."""

RETRY_SECONDS = 5.0


class SpoolFile:
    """Appends lines to a file.

    `append` never raises an error. Lines that cannot be written stay in memory until they can. A line that was written is
    safe when the process is killed, because the operating system has it. It is not synced to disk (fsync), because that
    takes milliseconds: a power cut of the node may lose the last seconds.

    Parameters
    ----------
    path
        The file. It must not exist.

    Attributes
    ----------
    dropped
        Lines that were dropped because neither the disk nor the memory had space.
    trouble
        Why the last write failed; empty if it did not.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.dropped = 0
        self.trouble = ""
        self.base = 0  # offset of the first byte that is still readable, if there is no file
        self._writing = threading.Lock()
        self._lock = threading.RLock()  # a signal handler may log while this thread does
        self._descriptor = -1
        self._written = 0
        self._pending = bytearray()
        self._retry_at = 0.0
        self._slow = False
        self._slow_writes = 0
        self._open()

    @property
    def size(self) -> int:
        """Bytes that were appended, on disk or in memory."""
        return self._written + len(self._pending)

    @property
    def on_disk(self) -> bool:
        """Whether all lines are in the file."""
        return not self._pending and self._descriptor >= 0

    def append(self, data: bytes) -> None:
        """Append one line, or several."""
        with self._lock:
            if self._pending or self._descriptor < 0 or self._slow:
                self._keep(data)
                return
            began = time.perf_counter()
            try:
                count = os.write(self._descriptor, data)
            except OSError as error:
                self._failed(error)
                count = 0
            self._written += count
            if count < len(data):
                self._keep(data[count:], whole=not count)
            if time.perf_counter() - began > SLOW_SECONDS:
                self._slow_writes += 1
                self._slow = self._slow_writes >= SLOW_WRITES
            else:
                self._slow_writes = 0

    def write_pending(self) -> None:
        """Write to the file what is in memory. The background thread calls this."""
        if (not self._pending and not self._slow) or time.monotonic() < self._retry_at:
            return
        if self._writing.acquire(blocking=False):
            try:
                self._write_pending()
            finally:
                self._writing.release()

    def _write_pending(self) -> None:
        with self._lock:
            if self._descriptor < 0:
                self._open()
            data = bytes(self._pending)
        if self._descriptor < 0:
            return
        count, began = 0, time.perf_counter()
        try:
            # Without the lock: `append` adds to the memory meanwhile, and does not wait for the disk.
            while count < len(data):
                count += os.write(self._descriptor, data[count : count + 2**20])
            self.trouble = ""
        except OSError as error:
            self._failed(error)
        with self._lock:
            self._written += count
            del self._pending[:count]
            self._slow = time.perf_counter() - began > SLOW_SECONDS * (1 + len(data) / 2**20)

    def read(self, offset: int, size: int) -> bytes:
        """Returns bytes from an offset on, from the file or the memory. Empty at the end.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        with self._lock:
            written = self._written
            if offset >= written:
                start = offset - written
                return bytes(self._pending[start : start + size])
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(descriptor, min(size, written - offset), offset)
        finally:
            os.close(descriptor)

    def forget(self, offset: int) -> None:
        """Free the memory of lines that were sent, if no file could ever be made for them."""
        with self._lock:
            if self._descriptor < 0 and offset > self._written:
                del self._pending[: offset - self._written]
                self._written = self.base = offset

    def close(self) -> None:
        """Close the file. What is in memory stays readable."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                self._retry_at = float("inf")

    def _open(self) -> None:
        if self.base:
            return  # lines were freed that a file would have to begin with
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
            self._descriptor = os.open(self.path, flags, 0o600)
            self.trouble = ""
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.trouble = f"{self.path} can't be written: {error.strerror or error}"
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _keep(self, data: bytes, *, whole: bool = True) -> None:
        if whole and len(self._pending) + len(data) > MOST_PENDING:
            self.dropped += data.count(b"\n")
        else:
            self._pending += data
