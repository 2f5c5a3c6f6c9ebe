"""`SpoolDirectory`: the files of a spool, their names, and its size limit.

Many nodes can use it on one shared file system. It uses no locks, because network file systems do not support them
reliably. Each file is written, synced and then renamed, so nobody sees an incomplete one. Delivering a file twice is
harmless, because each observation has an idempotency key.
"""

from __future__ import annotations

import os

from tailrace.errors import SpoolError, Unusable
from tailrace.observations.fingerprint import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SIZE_MB", "SpoolDirectory", "digest", "spooled_name", "sync"]

SIZE_MB = 1024.0
BLOCK = 4096
"""Bytes that the smallest file takes on disk. Larger files take a multiple."""

_latest = 0


class SpoolDirectory:
    """A directory of undelivered observations.

    Parameters
    ----------
    directory
        The directory. It is created for the first observation. Observations that a server refuses for good move to
        ``refused/`` in it. None: ``TAILRACE_SPOOL``, or ``tailrace/spool`` in the user's state directory.
    size_mb
        Megabytes that it may take on disk. None: ``TAILRACE_SPOOL_MB``, or 1024.

    Attributes
    ----------
    place
        The directory, as a string.

    Raises
    ------
    Unusable
        If ``TAILRACE_SPOOL_MB`` is not a number.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, size_mb: float | None = None) -> None:
        given = os.fspath(directory or os.environ.get("TAILRACE_SPOOL") or _default())
        self.place: str = os.path.abspath(os.path.expanduser(given))
        self.size_mb = _size() if size_mb is None else size_mb

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    @property
    def directory(self) -> Path:
        """The directory."""
        from pathlib import Path

        return Path(self.place)

    def waiting(self) -> list[Path]:
        """Returns the files that wait for delivery, oldest first."""
        from pathlib import Path

        return [Path(self.place, name) for name in self.names()]

    def names(self) -> list[str]:
        """Returns the names of the files that wait for delivery, oldest first.

        Raises
        ------
        SpoolError
            If the directory cannot be read.
        """
        try:
            return sorted(name for name in os.listdir(self.place) if name.endswith(".json") and name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SpoolError(
                error.errno or 0, f"the spool can't be read: {error.strerror or error}", self.place
            ) from None

    def refused(self) -> int:
        """Returns the number of observations that a server refused for good. They are in ``refused/``, with reasons."""
        try:
            return sum(name.endswith(".json") for name in os.listdir(os.path.join(self.place, "refused")))
        except OSError:
            return 0

    def refusal(self, stream: str, key: str) -> Path:
        """Returns the path of the file that contains the reason why an observation was refused, if it was."""
        from pathlib import Path

        return Path(self.place, "refused", f"{digest(stream, key)}.reason")

    def set_aside(self, path: str | os.PathLike[str], reason: str) -> Path:
        """Move a file to ``refused/``, so that it is not sent again, and write the reason to a file there.

        Returns
        -------
        The new path of the file.

        Raises
        ------
        SpoolError
            If the directory cannot be changed.
        """
        from pathlib import Path

        refused = os.path.join(self.place, "refused")
        # The name leaves out the time, so that the same observation, refused again, replaces its file.
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
        """Whether the files take as much space as allowed. The sizes of waiting files are taken from their names."""
        limit = self.size_mb * 2**20
        taken = sum(map(_bytes, self.names()))
        if taken >= limit:
            return True
        try:
            with os.scandir(os.path.join(self.place, "refused")) as entries:
                return taken + sum(_blocks(entry.stat().st_size) for entry in entries) >= limit
        except FileNotFoundError:
            return False


def spooled_name(written_ns: int, size: int, digest: str) -> str:
    """Returns the name of a waiting file: time, size, digest.

    Sorted by name, the files are in order of age. The size in the name makes it unnecessary to ask the file system for
    it.

    Parameters
    ----------
    written_ns
        When the file was written, in nanoseconds, by the clock of the file system. All nodes share this clock, even if
        their own clocks differ.
    size
        Size of the file, in bytes.
    digest
        Its `digest`.
    """
    global _latest
    _latest = max(written_ns, _latest + 1)
    return f"{_latest:020d}-{size}-{digest}.json"


def digest(stream: str, key: str) -> str:
    """Returns the part of a file name that identifies an observation by its stream and key."""
    return fingerprint(f"{stream}\0{key}")


def sync(directory: str) -> None:
    """Write the entries of a directory to disk (fsync)."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bytes(name: str) -> int:
    """Returns the bytes that a file takes on disk, from the size in its name."""
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
