"""Observations that could not be delivered yet, one file each, until they can.

Safe with many nodes on one shared file system, without locks (which network file systems lend to nobody in the same way):
a file appears whole or not at all (write, fsync, rename), and delivering one twice is harmless, because each
carries its idempotency key.
"""

from __future__ import annotations

import json
import os
import time

from tailrace.errors import SpoolError, Unusable
from tailrace.pending import Pending, digest, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from tailrace.flushing import Delivery
    from tailrace.server import Server

__all__ = ["SIZE_MB", "Spool", "write_whole"]

SIZE_MB = 1024.0
BLOCK = 4096
"""Bytes that the smallest file takes on disk."""


class Spool:
    """A directory of undelivered observations.

    Parameters
    ----------
    directory
        Made when the first observation is put there. What a server refuses for good moves to ``refused/`` in it.
        None: ``TAILRACE_SPOOL``, or ``tailrace/spool`` in the user's state directory.
    size_mb
        Megabytes that it may take on disk. None: ``TAILRACE_SPOOL_MB``, or 1024.

    Attributes
    ----------
    place
        The directory, as a string.

    Raises
    ------
    Unusable
        If ``TAILRACE_SPOOL_MB`` is no number.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, size_mb: float | None = None) -> None:
        given = os.fspath(directory or os.environ.get("TAILRACE_SPOOL") or _default())
        self.place: str = os.path.abspath(os.path.expanduser(given))
        self.size_mb = _size() if size_mb is None else size_mb

    def __repr__(self) -> str:
        return f"Spool({self.place!r})"

    @property
    def directory(self) -> Path:
        """The directory."""
        from pathlib import Path

        return Path(self.place)

    def put(self, stream: str, observation: Mapping[str, Any], server: Server | None = None) -> Path:
        """Keep one observation, which must have a ``key``; when this returns, it is on disk.

        Parameters
        ----------
        server
            The server that it is meant for, to which alone it is delivered. None: the one of the next flush.

        Raises
        ------
        SpoolFull
            If the spool holds as much as it may.
        SpoolError
            If the directory can't be written.
        Unusable
            If the observation can't be written as JSON.
        """
        from pathlib import Path

        return Path(Pending(self, stream, observation, None if server is None else server.address).keep())

    def waiting(self) -> list[Path]:
        """The files that wait, oldest first."""
        from pathlib import Path

        return [Path(self.place, name) for name in self.names()]

    def names(self) -> list[str]:
        """The names of the files that wait, oldest first. Raises SpoolError where the directory can't be read."""
        try:
            return sorted(name for name in os.listdir(self.place) if name.endswith(".json") and name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SpoolError(
                error.errno or 0, f"the spool can't be read: {error.strerror or error}", self.place
            ) from None

    def elsewhere(self, server: Server, moved: Collection[str] = ()) -> dict[str, int]:
        """How many wait for other servers than this one and those moved, by address. Each file is read."""
        from tailrace.flushing import elsewhere

        return elsewhere(self, server, moved)

    def refused(self) -> int:
        """How many observations a server has refused for good; they are in ``refused/``, each with the reason."""
        try:
            return sum(name.endswith(".json") for name in os.listdir(os.path.join(self.place, "refused")))
        except OSError:
            return 0

    def flush(self, server: Server, *, deadline: float = 5.0, moved: Collection[str] = ()) -> Iterator[Delivery]:
        """Deliver what waits, oldest first, many observations a request, until all is done or the deadline has passed.

        An observation that was kept for another server stays, unless that one's address is among those moved. Where the server refuses a request for good, it is taken apart, so that only what is wrong is set aside. Two
        flushes at once, here or on another node, deliver each observation once: its key sees to it.

        Parameters
        ----------
        deadline
            Seconds for all of it.
        moved
            Addresses of servers whose observations are delivered to this one, too.

        Yields
        ------
        Delivery
            One for each observation that no longer waits.

        Raises
        ------
        Unreachable, Refused
            From the first request that can't be delivered now: its observations go on waiting. Where a single stream
            is at fault (it isn't there, the token may not post to it), the others are delivered first.
        SpoolError
            If the directory can't be read or changed.
        """
        from tailrace.flushing import flush

        return flush(self, server, time.monotonic() + deadline, moved)

    def refuse(self, stream: str, observation: Mapping[str, Any], reason: str, server: Server | None = None) -> Path:
        """Keep an observation that the server will never take, with the reason beside it. Raises as `put` does."""
        return self.set_aside(self.put(stream, observation, server), reason)

    def refusal(self, stream: str, key: str) -> Path:
        """Where the reason is kept why an observation was refused, if it was."""
        from pathlib import Path

        return Path(self.place, "refused", f"{digest(stream, key)}.reason")

    def set_aside(self, path: str | os.PathLike[str], reason: str) -> Path:
        """Move a file out of the way of the next flush, with the reason beside it.

        Raises
        ------
        SpoolError
            If the directory can't be changed.
        """
        from pathlib import Path

        refused = os.path.join(self.place, "refused")
        # Without its time: refused again, it takes the same place.
        target = os.path.join(refused, os.path.basename(path).rpartition("-")[2])
        try:
            os.makedirs(refused, exist_ok=True)
            with open(f"{os.path.splitext(target)[0]}.reason", "w", encoding="utf-8", errors="replace") as file:
                file.write(f"{reason}\n")
            try:
                os.replace(path, target)
            except FileNotFoundError:
                pass  # another flush was faster
            sync(refused)
        except OSError as error:
            raise SpoolError(
                error.errno or 0, f"the spool can't be changed: {error.strerror or error}", self.place
            ) from None
        return Path(target)

    def is_full(self) -> bool:
        """Whether it takes as much space as it may. Looks at names alone, except of what was refused."""
        limit = self.size_mb * 2**20
        taken = sum(map(_bytes, self.names()))
        if taken >= limit:
            return True
        try:
            with os.scandir(os.path.join(self.place, "refused")) as entries:
                return taken + sum(_blocks(entry.stat().st_size) for entry in entries) >= limit
        except FileNotFoundError:
            return False


def _bytes(name: str) -> int:
    """What a file takes on disk, by its name."""
    size = name.split("-")[1:2]
    return _blocks(int(size[0]) if size and size[0].isdigit() else 0)


def _blocks(size: int) -> int:
    return max(1, -(-size // BLOCK)) * BLOCK


def _default() -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.join("~", ".local", "state")
    return os.path.join(state, "tailrace", "spool")


def _size() -> float:
    text = os.environ.get("TAILRACE_SPOOL_MB", "")
    try:
        size = float(text or SIZE_MB)
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise Unusable(f"TAILRACE_SPOOL_MB={text}: expected megabytes, such as {SIZE_MB:g}")
    return size


def write_whole(path: Path, content: Any, mode: int = 0o666) -> None:
    """Write JSON so that a crash at any instant leaves the old file or the new one, never a part.

    ``mode`` is what the file allows to whom, less what the process's umask takes away.
    """
    part = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            json.dump(content, file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        try:
            os.unlink(part)
        except OSError:
            pass
        raise
    sync(os.fspath(path.parent))
