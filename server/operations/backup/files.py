"""The files of backups: each whole under its name or not there at all, readable by its owner alone, the old ones pruned."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from server.operations.backup.container import Reader
from server.operations.backup.errors import BackupError

PART = ".part"
"""Ends the name of a file that is still being written."""


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which gets its name once it is whole and on disk. What goes wrong leaves no trace.

    A backup that is there already is replaced; any other file is not.

    Raises
    ------
    BackupError
        If there is another file of that name, or somebody writes this one now.
    OSError
        If it can't be written.
    """
    if path.exists():
        header_of(path)
    part = path.with_name(path.name + PART)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
        if not _locked(file):
            raise BackupError(f"another backup is being written to {part}: wait for its end")
        try:
            os.fchmod(file.fileno(), 0o600)
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.rename(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def header_of(path: Path) -> dict[str, Any]:
    """What a backup says of itself, without a look at the rest of it.

    Raises
    ------
    BackupError
        If it is no backup.
    OSError
        If it can't be read.
    """
    try:
        with path.open("rb") as file:
            return Reader(file).header
    except BackupError as exc:
        raise BackupError(f"{path}: {exc}") from exc


def check_name(path: Path) -> None:
    """Whether the names of a series of backups can be made out from this one.

    Raises
    ------
    BackupError
        If there is no digit in it, so that each would replace the one before.
    """
    if not re.search(r"\d", path.name):
        raise BackupError(f"--keep needs names that differ by a date, such as tailrace-2026-11-21.gz, not {path.name}")


def prune(path: Path, keep: int) -> list[Path]:
    """Delete all but the newest ``keep`` backups beside ``path`` whose names differ from its in digits alone.

    Also what an ended process left half-written under such a name.

    Returns
    -------
    list
        What was deleted.
    """
    alike = re.compile(re.sub(r"\d+", r"\\d+", re.escape(path.name)))
    found, gone = [], []
    for other in path.parent.iterdir():
        if alike.fullmatch(other.name.removesuffix(PART)) is None or not other.is_file():
            continue
        if other.name.endswith(PART):
            gone += [other] if _is_abandoned(other) else []
            continue
        with contextlib.suppress(BackupError):  # what is no backup is not ours to delete
            found.append((header_of(other)["made_at"], other.name, other))
    gone += [other for _, _, other in sorted(found)[:-keep]]
    for other in gone:
        other.unlink(missing_ok=True)
    return sorted(gone)


def _is_abandoned(part: Path) -> bool:
    with part.open("rb+") as file:
        return _locked(file)


def _locked(file: BinaryIO) -> bool:
    """Whether the lock is ours now: nobody else holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
