"""Clean-up of contents that nothing names: what is left of deleted calculations, of restored databases and of killed processes.

A content is first marked as one that goes, in the database. Then it is looked for again in the results, and only then
deleted. Meanwhile nobody may send it: so a result that declares it at this moment either is seen, or its file is sent later.
"""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from django.db import connection

from server.calculations.models import Removal, StoredFile
from server.contents import contents, storage
from server.contents.contents import Kept, Store
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, TailraceError, Unavailable

log = logging.getLogger(__name__)

OLDER_THAN = 24 * 3600.0
"""Age from which a content that nobody names is deleted, s. So an upload is over whose result was deleted meanwhile."""

BATCH, LOOKED_UP = 100, 500
LONGEST, VOID = 120.0, 600.0
"""Longest time to delete one batch, and time after which a mark is void, because the process that set it has died, s."""

NIGHT = range(2, 6)
"""Hours (UTC) in which servers clean up by themselves, once."""

LOCK = ".cleaning.lock"


class Cleaned(NamedTuple):
    """What was, or would be, deleted: contents, their bytes, and incomplete files."""

    contents: int
    bytes: int
    incomplete: int


def plan(older_than: float = OLDER_THAN) -> Cleaned:
    """Return what :func:`clean` would delete."""
    found = list(_unneeded(storage.store(), older_than))
    return Cleaned(len(found), sum(one.size for one in found), len(contents.abandoned()))


def clean(older_than: float = OLDER_THAN, progress: Callable[[int], None] | None = None) -> Cleaned:
    """Delete contents that no result names, and incomplete files that processes left behind.

    Parameters
    ----------
    older_than
        Only contents that are stored for longer than this, s.
    progress
        Called from time to time with the number of deleted contents.

    Raises
    ------
    Conflict
        If a backup is being made, or another process cleans up.
    Unavailable
        If the database or the place of the contents can't be reached. What was deleted until then was not needed.
    """
    with _lock(fcntl.LOCK_EX | fcntl.LOCK_NB) as lock:
        place = storage.store()
        with transaction_for_writing():
            Removal.objects.filter(at__lt=datetime.now(UTC) - timedelta(seconds=VOID)).delete()
        count = size = 0
        for some in _batches(_unneeded(place, older_than), BATCH):
            gone = _delete(place, some)
            count, size = count + len(gone), size + sum(one.size for one in gone)
            if progress is not None:
                progress(count)
        incomplete = contents.abandoned()
        for path in incomplete:
            path.unlink(missing_ok=True)
        lock.write_text("cleaned up\n")
    if count or incomplete:
        log.info(
            "deleted %d contents that no result names (%d bytes), and %d incomplete files", count, size, len(incomplete)
        )
    return Cleaned(count, size, len(incomplete))


def _unneeded(place: Store, older_than: float) -> Iterator[Kept]:
    border = time.time() - older_than
    for some in _batches(place.listed(), LOOKED_UP):
        named = _named([one.sha256 for one in some])
        yield from (one for one in some if one.at < border and one.sha256 not in named)


def _batches(found: Iterable[Kept], most: int) -> Iterator[list[Kept]]:
    found = iter(found)
    while some := list(islice(found, most)):
        yield some


def _named(names: list[str]) -> set[str]:
    return set().union(*(named(names) for named in NAMED_BY))


def _by_results(names: Sequence[str]) -> set[str]:
    return set(StoredFile.objects.filter(sha256__in=names).values_list("sha256", flat=True))


NAMED_BY: list[Callable[[Sequence[str]], set[str]]] = [_by_results]
"""Functions that return those of given contents that something needs. Packages above this one add theirs when they load."""


def _delete(place: Store, some: list[Kept]) -> list[Kept]:
    names = [one.sha256 for one in some]
    deadline = time.monotonic() + LONGEST
    with transaction_for_writing():
        now = datetime.now(UTC)
        Removal.objects.bulk_create((Removal(sha256=name, at=now) for name in names), ignore_conflicts=True)
    gone = []
    try:
        named = _named(names)
        for one in some:
            if one.sha256 not in named and time.monotonic() < deadline:
                place.delete(one.sha256)
                gone.append(one)
    finally:
        with transaction_for_writing():
            Removal.objects.filter(sha256__in=names).delete()
    return gone


def forget(names: Sequence[str]) -> None:
    """Delete those of these contents that nothing names. What can't be deleted now is left to the next clean-up."""
    place = storage.store()
    try:
        with _lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
            sizes = {name: place.size(name) for name in names}
            named = _named(list(names))
            there = [Kept(name, size, 0) for name, size in sizes.items() if size is not None and name not in named]
            if there:
                _delete(place, there)
    except (TailraceError, OSError) as exc:
        log.info("contents that nothing names are left to the next clean-up: %s", exc)


def check_not_going(sha256: str) -> None:
    """Refuse a content that is being deleted.

    Raises
    ------
    Unavailable
        If it is. It can be stored a moment later.
    """
    if Removal.objects.filter(sha256=sha256, at__gt=datetime.now(UTC) - timedelta(seconds=VOID)).exists():
        raise Unavailable(f"content {sha256} is being cleaned up, as no result named it: send it again", retry_after=5)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Run the block while no content is cleaned up on this machine, such as a backup."""
    with _lock(fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def _lock(kind: int) -> Iterator[Path]:
    contents.folder().mkdir(parents=True, exist_ok=True)
    path = contents.folder() / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, kind)
        except BlockingIOError as exc:
            raise Conflict("a backup is being made, or another process cleans up: try again when it is over") from exc
        yield path
    finally:
        os.close(handle)


def clean_at_night(now: datetime | None = None) -> threading.Thread | None:
    """Start to clean up in a thread, if it is night and no process of this machine has done it for half a day."""
    now = now or datetime.now(UTC)
    if now.hour not in NIGHT:
        return None
    with contextlib.suppress(FileNotFoundError):
        last = (contents.folder() / LOCK).stat()
        if last.st_mtime > now.timestamp() - 12 * 3600 and last.st_size:
            return None
    thread = threading.Thread(target=_in_thread, name="clean-files", daemon=True)
    thread.start()
    return thread


def _in_thread() -> None:
    try:
        clean()
    except TailraceError as exc:
        log.warning("files were not cleaned up: %s", exc.message)
    except Exception:
        log.exception("files were not cleaned up")
    finally:
        connection.close()
