"""`InFlight`: an observation that is being posted, stored in a file until it is delivered."""

from __future__ import annotations

import errno
import json
import os

from tailrace.errors import SpoolError, SpoolFull, Unusable
from tailrace.spool.directory import digest, spooled_name, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from tailrace.spool.directory import SpoolDirectory

__all__ = ["InFlight"]


class InFlight:
    """An observation that is being posted.

    It is written to a hidden file before it is sent. If the process is killed meanwhile, the file remains, and the next
    flush sends it. Its key makes it count once, even if the server already has it.

    Parameters
    ----------
    spool
        Spool that keeps the observation if it cannot be delivered.
    stream, observation
        Name of the stream, and the observation, which must have a ``key``.
    address
        Address of the server to deliver it to (`tailrace.transport.endpoint.address_of`). None: any server.

    Raises
    ------
    Unusable
        If the observation cannot be written as JSON. If the disk cannot be written, only `keep` and `refuse` raise.
    """

    def __init__(
        self, spool: SpoolDirectory, stream: str, observation: Mapping[str, Any], address: str | None = None
    ) -> None:
        self._spool = spool
        self._digest = digest(stream, str(observation["key"]))
        try:
            meant_for = {} if address is None else {"server": address}
            text = json.dumps({"stream": stream, **meant_for, "observation": dict(observation)}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise Unusable(f"this observation can't be written as JSON: {error}") from None
        self._content = text.encode()
        self._trouble: OSError | None = None
        # Machine and process, so that a flush on the same machine can tell whether it is still being sent.
        writer = f"{os.uname().nodename}.{os.getpid()}.{os.urandom(4).hex()}"
        self._part = os.path.join(spool.place, f".{self._digest}.{writer}.part")
        try:
            self._write()
        except OSError as error:
            self._trouble = error

    def delivered(self) -> None:
        """Delete the file, because the server has the observation."""
        if self._trouble is None:
            try:
                os.unlink(self._part)
            except OSError:
                pass  # a flush will send it again, which is harmless

    def keep(self) -> str:
        """Keep the observation for the next flush, and return the file's path. When this returns, it is on disk.

        Raises
        ------
        SpoolFull
            If the spool has reached its size limit.
        SpoolError
            If the file cannot be written.
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
            except FileNotFoundError:  # a flush took it for an orphan
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
        """Keep the observation in ``refused/``, where no flush sends it, with the reason. Raises like `keep`."""
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


def _synced(path: str) -> int:
    """Write a file to disk (fsync), and return when it was written, in nanoseconds, by the file system's clock."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)
