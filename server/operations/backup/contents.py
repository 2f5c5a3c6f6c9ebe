"""Contents of results' files and of runs' artifacts in backups: a folder beside the backup, ``FILE.files``, with the same names as in the server's folder.

Each backup has a complete folder. A content that an earlier backup of the series has is linked, not copied, where the disk
has hard links. Contents in an S3 bucket are not copied: the bucket has versions.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from server.calculations import cleaning
from server.contents import contents, storage
from server.contents.contents import Folder, Kept, Received, Store
from server.operations.backup.errors import Damaged
from server.operations.backup.values import Columns

SUFFIX = ".files"
BESIDE, BUCKET, LEFT_OUT = "beside", "bucket", "left out"
TABLES = ("calculations_storedfile", "tracking_artifact")
"""Tables with the columns ``sha256``, ``size`` and ``stored``."""

Wanted = dict[str, int]
"""SHA-256 of each stored content, and its size in bytes."""
Progress = Callable[[int, int], None]


def place(backup: Path) -> Path:
    """Return the folder of a backup's contents."""
    return backup.with_name(backup.name + SUFFIX)


def wanted(connection: BaseDatabaseWrapper) -> Wanted:
    """Return the contents that the database names, in a database of any version."""
    there = connection.introspection.table_names()
    found: Wanted = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            if table in there:
                cursor.execute(f'SELECT DISTINCT sha256, size FROM "{table}" WHERE stored')
                found.update(cursor.fetchall())
    return found


def described(found: Wanted, *, is_beside: bool) -> dict[str, Any]:
    """Return what the header of a backup says about contents."""
    where = BUCKET if settings.TAILRACE.files_bucket else BESIDE if is_beside else LEFT_OUT
    return {"where": where, "contents": len(found), "bytes": sum(found.values())}


@contextlib.contextmanager
def beside(backup: Path) -> Iterator[Folder]:
    """Return the folder beside a backup that is being written. If the block fails, a new folder is deleted.

    Contents are not cleaned up meanwhile.
    """
    target = Folder(place(backup))
    is_new = not target.root.exists()
    try:
        with cleaning.postponed():
            yield target
    except BaseException:
        if is_new:
            shutil.rmtree(target.root, ignore_errors=True)
        raise


def copy(target: Folder, found: Wanted, progress: Progress) -> list[str]:
    """Write these contents into the folder, and delete others from it. Return those that are missing or were altered.

    Raises
    ------
    OSError
        If a content can't be written.
    """
    source, former = Folder(contents.folder()), _former(target.root)
    bad = []
    if found:
        target.root.mkdir(mode=0o700, exist_ok=True)
    for number, (sha256, size) in enumerate(found.items(), 1):
        is_there = target.size(sha256) == size or (former is not None and _linked(former, target, sha256, size))
        if not is_there and not _copied(source, target, sha256):
            bad.append(sha256)
        progress(number, len(found))
    for one in list(target.listed()):
        if one.sha256 not in found:
            target.delete(one.sha256)
    return bad


def _former(root: Path) -> Folder | None:
    """Return the newest other folder of contents in the same place."""
    others = [path for path in root.parent.glob(f"*{SUFFIX}") if path.is_dir() and path != root]
    return Folder(max(others, key=lambda path: path.stat().st_mtime)) if others else None


def _linked(former: Folder, target: Folder, sha256: str, size: int) -> bool:
    if former.size(sha256) != size:
        return False
    target.path(sha256).parent.mkdir(exist_ok=True)
    target.path(sha256).unlink(missing_ok=True)
    try:
        os.link(former.path(sha256), target.path(sha256))
    except OSError:  # a disk without hard links
        return False
    return True


def _copied(source: Folder, target: Folder, sha256: str) -> bool:
    """Copy a content. Return False if it is missing or was altered."""
    try:
        file = source.open(sha256)
    except FileNotFoundError:
        return False
    with file:
        if not contents.is_intact(file, sha256):
            return False
        new = target.root / f"{contents.NEW}{sha256}"
        with new.open("wb") as written:
            shutil.copyfileobj(file, written, contents.CHUNK)
            written.flush()
            os.fsync(written.fileno())
    target.put(Received(new, 0, sha256))
    return True


def restored(backup: Path | None, found: Wanted, progress: Progress) -> list[str]:
    """Put the contents beside a backup into the place that the settings name. Return those that are in neither.

    Contents that are in that place already stay as they are.

    Raises
    ------
    Damaged
        If one was altered.
    Unavailable
        If one can't be stored.
    """
    source = None if backup is None else Folder(place(backup))
    target = storage.store()
    there = _sizes(target.listed())
    missing = []
    for number, (sha256, size) in enumerate(found.items(), 1):
        if there.get(sha256) != size:
            if source is None or source.size(sha256) is None:
                missing.append(sha256)
            else:
                _put(source, target, sha256)
        progress(number, len(found))
    return missing


def _put(source: Folder, target: Store, sha256: str) -> None:
    with source.open(sha256) as file, contents.receiving(iter(lambda: file.read(contents.CHUNK), b"")) as received:
        if received.sha256 != sha256:
            raise Damaged(f"{source.path(sha256)} was altered: it has another SHA-256 than its name")
        target.put(received)


def of_rows(columns: Columns, rows: Iterable[list[Any]]) -> Wanted:
    """Return the contents that rows of a backup name."""
    names = [name for name, _ in columns]
    sha256, size, stored = (names.index(name) for name in ("sha256", "size", "stored"))
    return {row[sha256]: row[size] for row in rows if row[stored]}


def check(backup: Path, found: Wanted) -> None:
    """Check that all contents are beside a backup and intact.

    Raises
    ------
    Damaged
        If one is missing or altered.
    """
    source = Folder(place(backup))
    missing, altered = missing_or_altered(source, found)
    if missing or altered:
        first = ", ".join([*missing, *altered][:3])
        raise Damaged(
            f"of {len(found)} contents of files in {source.root}, {len(missing)} are missing and {len(altered)} were "
            f"altered: {first}{' …' if len(missing) + len(altered) > 3 else ''}"
        )


def missing_or_altered(place: Store, found: Wanted, progress: Progress | None = None) -> tuple[list[str], list[str]]:
    """Read contents, and return those that are missing, and those whose size or checksum is wrong."""
    missing, altered = [], []
    for number, (sha256, size) in enumerate(found.items(), 1):
        try:
            with place.open(sha256) as file:
                if file.seek(0, os.SEEK_END) != size or file.seek(0) or not contents.is_intact(file, sha256):
                    altered.append(sha256)
        except FileNotFoundError:
            missing.append(sha256)
        if progress is not None:
            progress(number, len(found))
    return missing, altered


def _sizes(kept: Iterable[Kept]) -> Wanted:
    return {one.sha256: one.size for one in kept}
