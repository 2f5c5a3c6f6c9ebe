"""`TrackingSpool`: the directory with the lines of runs, a directory for each run, a file for each process.

::

    RUN/WRITER.lines            what one process logged: the first line says what the run is
    RUN/WRITER.claim            the process that writes this file, while it does
    RUN/WRITER.BACKEND.cursor   how far one back end has it
    RUN/WRITER.BACKEND.claim    the process that sends it there now
    RUN/BACKEND.run             which run of MLflow it is
    RUN/files/                  contents of artifacts
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from tailrace.errors import SpoolError
from tailrace.spool.directory import SpoolDirectory
from tailrace.tracking.backends import Backend
from tailrace.tracking.claims import Claim
from tailrace.tracking.cursor import Cursor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = [
    "FILES",
    "LINES",
    "SpooledFile",
    "default_place",
    "is_sent",
    "orphans",
    "read_header",
    "remove_if_sent",
    "spooled_files",
]

LINES = ".lines"
FILES = "files"
LONGEST_HEADER = 2**22


@dataclass(frozen=True)
class SpooledFile:
    """A file of lines in the spool.

    Attributes
    ----------
    path
        Its path.
    header
        Its first line.
    header_size
        Bytes of that line.
    backends
        Where its lines are to be sent.
    """

    path: str
    header: dict[str, Any]
    header_size: int
    backends: list[Backend]

    def cursor_path(self, backend: Backend) -> str:
        """Returns the path of a back end's cursor."""
        return f"{self.path[: -len(LINES)]}.{backend.key}.cursor"

    def claim_of(self, backend: Backend) -> Claim:
        """Returns the claim to send it to a back end."""
        return Claim(f"{self.path[: -len(LINES)]}.{backend.key}.claim")

    def writer(self) -> str:
        """Returns the process that still writes it; empty if none does."""
        return Claim(f"{self.path[: -len(LINES)]}.claim").holder()


def default_place(spool: str | os.PathLike[str] | None = None) -> str:
    """Returns the directory: ``TAILRACE_TRACKING_SPOOL``, or ``tracking`` in the spool of observations."""
    given = os.environ.get("TAILRACE_TRACKING_SPOOL") if spool is None else None
    if given:
        return os.path.abspath(os.path.expanduser(given))
    return os.path.join(SpoolDirectory(spool, size_mb=1).place, "tracking")


def spooled_files(place: str) -> Iterator[str]:
    """Yields the paths of all files of lines, oldest run first.

    Raises
    ------
    SpoolError
        If the directory cannot be read.
    """
    try:
        runs = [entry for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise SpoolError(error.errno or 0, f"the spool can't be read: {error.strerror or error}", place) from None
    for run in sorted(runs, key=_changed):
        try:
            yield from sorted(
                os.path.join(run.path, name) for name in os.listdir(run.path) if name.endswith(LINES) and name[0] != "."
            )
        except OSError:
            continue  # another process removed it meanwhile


def read_header(path: str) -> SpooledFile | None:
    """Returns what a file is; None if its process was killed before it wrote the first line, or it is damaged.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        line = file.readline(LONGEST_HEADER)
    if not line.endswith(b"\n"):
        return None
    try:
        header = json.loads(line)
        if header["kind"] != "run" or not isinstance(header["started_ms"], int):
            return None
        texts = [header["uid"], header["writer"], header["experiment"]]
        if not all(isinstance(one, str) and one for one in texts):
            return None
        backends = [Backend.from_json(one) for one in header["backends"]]
    except (ValueError, KeyError, TypeError):
        return None
    return SpooledFile(path, header, len(line), backends)


def remove_if_sent(found: SpooledFile) -> bool:
    """Delete a file that all back ends have, and what belongs to it, if no process writes it any more.

    Returns
    -------
    Whether it was deleted.
    """
    if not is_sent(found) or found.writer():
        return False
    directory = os.path.dirname(found.path)
    for path in (found.path, *(found.cursor_path(one) for one in found.backends)):
        _unlink(path)
    try:
        left = os.listdir(directory)
    except OSError:
        return True
    if not any(name.endswith(LINES) for name in left):
        import shutil

        shutil.rmtree(os.path.join(directory, FILES), ignore_errors=True)
        for name in left:
            if name.endswith((".run", ".claim", ".cursor", ".part", ".clock", ".stale")):
                _unlink(os.path.join(directory, name))
        try:
            os.rmdir(directory)
        except OSError:
            pass  # another process of the run has just begun
    return True


def orphans(directory: str, besides: str = "") -> list[SpooledFile]:
    """Returns the files of a run whose processes have ended, but for one."""
    found = []
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(LINES))
    except OSError:
        return []
    for name in names:
        path = os.path.join(directory, name)
        try:
            one = None if path == besides else read_header(path)
        except OSError:
            continue
        if one is not None and not one.writer():
            found.append(one)
    return found


def is_sent(found: SpooledFile) -> bool:
    """Whether all back ends have all lines and artifacts of a file."""
    try:
        size = os.path.getsize(found.path)
    except OSError:
        return False
    for backend in found.backends:
        cursor = Cursor.load(found.cursor_path(backend))
        if cursor is None or cursor.uploads or not _at_end(found.path, cursor.offset, size):
            return False
        if backend.kind == "wandb" and not cursor.state.get("finished"):
            return False
    return True


def _at_end(path: str, offset: int, size: int) -> bool:
    """Whether no whole line follows. A process that was killed may have left a part of one."""
    if offset >= size:
        return True
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            rest = file.read(16 * 2**20)
    except OSError:
        return False
    return b"\n" not in rest and offset + len(rest) >= size


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0
