"""An observation on its way, in a file of its own until it has arrived."""

from __future__ import annotations

import errno
import json
import os

from tailrace.errors import SpoolError, SpoolFull, Unusable
from tailrace.fingerprint import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from tailrace.spool import Spool

__all__ = ["Pending", "digest", "spooled_name", "sync"]

_latest = 0


class Pending:
    """An observation that is being posted.

    It is written before it is sent, to a hidden file. A process that is killed meanwhile leaves it behind, and the next
    flush finds it: whether or not it had arrived, its key makes it count once.

    Parameters
    ----------
    spool
        Where it waits if it can't be delivered.
    stream, observation
        What it is; it must have a ``key``.
    address
        The server that it is meant for (`tailrace.server.address_of`); None: any.

    Raises
    ------
    Unusable
        If it can't be written as JSON. A disk that refuses it is only an error once it has to be kept.
    """

    def __init__(self, spool: Spool, stream: str, observation: Mapping[str, Any], address: str | None = None) -> None:
        self._spool = spool
        self._digest = digest(stream, str(observation["key"]))
        try:
            meant_for = {} if address is None else {"server": address}
            text = json.dumps({"stream": stream, **meant_for, "observation": dict(observation)}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise Unusable(f"this observation can't be written as JSON: {error}") from None
        self._content = text.encode()
        self._trouble: OSError | None = None
        # Who writes it, so that a flush on the same machine can tell whether it is still being sent.
        writer = f"{os.uname().nodename}.{os.getpid()}.{os.urandom(4).hex()}"
        self._part = os.path.join(spool.place, f".{self._digest}.{writer}.part")
        try:
            self._write()
        except OSError as error:
            self._trouble = error

    def delivered(self) -> None:
        """It has arrived."""
        if self._trouble is None:
            try:
                os.unlink(self._part)
            except OSError:
                pass  # a flush that sends it again does no harm

    def keep(self) -> str:
        """Keep it for the next flush, and return the file's path once it is on disk.

        Raises
        ------
        SpoolFull
            If the spool holds as much as it may.
        SpoolError
            If the disk can't take it.
        """
        spool = self._spool
        try:
            if self._trouble is not None:
                raise self._trouble
            if spool.is_full():
                self.delivered()
                raise SpoolFull(
                    f"the spool {spool.place} holds the {spool.size_mb:g} MB that it may: run `tailrace flush`, or "
                    "raise TAILRACE_SPOOL_MB"
                )
            try:
                written = _synced(self._part)
            except FileNotFoundError:  # a flush took it for left behind
                self._write()
                written = _synced(self._part)
            path = os.path.join(spool.place, spooled_name(written, len(self._content), self._digest))
            os.rename(self._part, path)
            sync(spool.place)
        except SpoolError:
            raise
        except OSError as error:
            raise SpoolError(
                error.errno or errno.EIO, f"the spool can't be written: {error.strerror or error}", spool.place
            ) from None
        return path

    def refuse(self, reason: str) -> Path:
        """Keep it where no flush sends it again, with the reason beside it. Raises as `keep` does."""
        return self._spool.set_aside(self.keep(), reason)

    def _write(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(self._part, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(self._spool.place, exist_ok=True)
            descriptor = os.open(self._part, flags, 0o666)
        try:
            left = memoryview(self._content)
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            try:
                os.unlink(self._part)
            except OSError:
                pass
            raise
        finally:
            os.close(descriptor)


def spooled_name(written_ns: int, size: int, digest: str) -> str:
    """The name of a file that waits: by its age in order, and with its size, so that adding up takes no look at each.

    The time is the file system's own, which all nodes share, whatever their clocks say.
    """
    global _latest
    _latest = max(written_ns, _latest + 1)
    return f"{_latest:020d}-{size}-{digest}.json"


def digest(stream: str, key: str) -> str:
    """A file name's part for one observation."""
    return fingerprint(f"{stream}\0{key}")


def sync(directory: str) -> None:
    """Have the directory's names on disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _synced(path: str) -> int:
    """Have a file's content on disk; the time at which it was written, ns, by the file system's clock."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)
