"""Files of backups: atomic creation, readable by the owner only, and deletion of old ones."""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from server.operations.backup import contents
from server.operations.backup.container import Reader
from server.operations.backup.errors import BackupError

PART = ".part"
"""Suffix of the name of a file that is being written."""


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing. It gets its name when it is complete and on disk; after an error it is deleted.

    It replaces an existing backup, but no other file.

    Raises
    ------
    BackupError
        If a file with that name exists and is not a backup, or if another process is writing it.
    OSError
        If it can't be written.
    """
    if path.exists():
        header_of(path)
    part = path.with_name(path.name + PART)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
        if not _locked(file):
            raise BackupError(f"another backup is being written to {part}: wait until it is finished")
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
    """Return the header of a backup, without reading the rest.

    Raises
    ------
    BackupError
        If it is not a backup.
    OSError
        If it can't be read.
    """
    try:
        with path.open("rb") as file:
            return Reader(file).header
    except BackupError as exc:
        raise BackupError(f"{path}: {exc}") from exc


def check_name(path: Path) -> None:
    """Check that a file name can belong to a series of backups.

    Raises
    ------
    BackupError
        If it has no digit, so that each backup would replace the previous one.
    """
    if not re.search(r"\d", path.name):
        raise BackupError(f"--keep needs names that differ by a date, such as tailrace-2026-11-21.gz, not {path.name}")


def prune(path: Path, keep: int) -> list[Path]:
    """Delete all but the newest ``keep`` backups beside ``path`` whose names differ from it only in digits.

    Unfinished files with such names, whose process has ended, are deleted, too, and the folders of contents of all of them.

    Returns
    -------
    list
        The deleted files.
    """
    alike = re.compile(re.sub(r"\d+", r"\\d+", re.escape(path.name)))
    found, gone = [], []
    for other in path.parent.iterdir():
        if alike.fullmatch(other.name.removesuffix(PART)) is None or not other.is_file():
            continue
        if other.name.endswith(PART):
            gone += [other] if _is_abandoned(other) else []
            continue
        with contextlib.suppress(BackupError):  # other files are not deleted
            found.append((header_of(other)["made_at"], other.name, other))
    gone += [other for _, _, other in sorted(found)[:-keep]]
    for other in gone:
        other.unlink(missing_ok=True)
        backup = other.with_name(other.name.removesuffix(PART))
        if not backup.exists():
            shutil.rmtree(contents.place(backup), ignore_errors=True)
    return sorted(gone)


def _is_abandoned(part: Path) -> bool:
    with part.open("rb+") as file:
        return _locked(file)


def _locked(file: BinaryIO) -> bool:
    """Try to lock the file. Return False if another process holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
