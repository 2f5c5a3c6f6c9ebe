"""Who writes: one writer at a time per stream, across threads, processes and pods.

On PostgreSQL a stream's lock is an advisory lock, taken before the transaction has a number of its own, so that transaction
numbers grow in the order of the log (events are read in that order). On SQLite it is a lock on one byte of a file, taken
before the transaction: models learn under it while other streams write. SQLite has one writer at a time, so each
transaction also takes a file lock in front of ``BEGIN IMMEDIATE``: the kernel wakes the next writer at once, where SQLite's
own busy handler sleeps and polls.
"""

import contextlib
import fcntl
import functools
import os
import select
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    IntegrityError,
    InterfaceError,
    connection,
    connections,
    transaction,
)

from server.streams import instruments
from server.streams.errors import Unavailable

_local = threading.local()
ADVISORY_SPACE = 0x7A11
_FLOCK = struct.Struct("hhqqi0q")
"""``struct flock``: type, whence, start, length, process."""


@functools.cache
def is_sqlite() -> bool:
    return connection.vendor == "sqlite"


@contextlib.contextmanager
def transaction_for_writing() -> Iterator[None]:
    """A durable transaction; database failures become :class:`Unavailable`, with the connection given up.

    Raises
    ------
    Unavailable
        If the database can't be reached or can't store: nothing was changed, or (when a commit's answer was
        lost) the same request with the same key finds out.
    IntegrityError
        If it contradicts what is stored, such as a name that another request took first: nothing was changed.
    """
    try:
        with _file_lock(), transaction.atomic(durable=not connection.in_atomic_block):
            yield
    except IntegrityError:
        raise
    except (DatabaseError, InterfaceError) as exc:
        raise give_up(exc) from exc


def give_up(exc: Exception) -> Unavailable:
    """Drop a connection that failed, and say so to the caller."""
    instruments.database_errors.of(type(exc).__name__).add()  # a handful of classes: Django's own
    if not connection.in_atomic_block:
        connection.close()
    return Unavailable(
        f"the database doesn't answer or can't store ({type(exc).__name__}: {str(exc).strip()}); try again"
    )


def renew_if_hung_up() -> None:
    """Drop this thread's connection if PostgreSQL has ended it (a restart, a crash), so that the next use opens another.

    An idle connection has nothing to read but that its other end is gone: one look, and no word to the server.
    """
    held = connection.connection
    if held is None or connection.in_atomic_block:
        return
    poll = select.poll()
    try:
        poll.register(held.fileno(), select.POLLIN)
        ended = bool(poll.poll(0))
    except DatabaseError:  # psycopg2 knows already that it is closed
        ended = True
    if ended:
        connection.close()


@contextlib.contextmanager
def stream_transaction(stream_id: int, *, patient: bool = False) -> Iterator[None]:
    """A :func:`transaction_for_writing` that holds the stream's lock from its beginning to its end.

    Parameters
    ----------
    stream_id
        The stream.
    patient
        Wait for the lock however many do: for threads that no request needs.

    Raises
    ------
    Unavailable
        If many wait for locks already.
    """
    with stream_lock(stream_id, patient=patient), transaction_for_writing():
        if not is_sqlite():
            _take_advisory_lock(stream_id, patient=patient)
        yield


def _take_advisory_lock(stream_id: int, *, patient: bool) -> None:
    key = (ADVISORY_SPACE, stream_id % 2**31)
    with connection.cursor() as cursor:
        if not patient:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", key)
            if cursor.fetchone()[0]:
                return
        with contextlib.nullcontext() if patient else _room_to_wait(stream_id):
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", key)


_waiting: Counter[int] = Counter()
"""How many requests wait for the lock of which stream, besides those that learn."""
_deciding = threading.Lock()


@contextlib.contextmanager
def _room_to_wait(stream_id: int) -> Iterator[None]:
    """Be one of the few that may wait for the streams' locks, and of fewer that may for this one: others need the threads."""
    most = max(2, settings.TAILRACE.working_threads // 4)
    with _deciding:
        if _waiting.total() >= most or _waiting[stream_id] >= most // 2:
            raise Unavailable("the stream is busy, and as many requests wait for it as may at once; try again")
        _waiting[stream_id] += 1
    try:
        yield
    finally:
        with _deciding:
            _waiting[stream_id] -= 1
            if not _waiting[stream_id]:
                del _waiting[stream_id]


@contextlib.contextmanager
def stream_lock(stream_id: int, *, patient: bool = True) -> Iterator[None]:
    """Hold the stream's lock on SQLite. On PostgreSQL it is the transaction that holds it, and this does nothing.

    A thread takes it before a transaction, never within one, and one stream's at a time: else two could wait for each other.

    Raises
    ------
    Unavailable
        If many wait for locks already, and the caller is not ``patient``.
    """
    paths = _lock_paths()
    if paths is None or getattr(_local, "stream", None) == stream_id:
        yield
        return
    assert getattr(_local, "stream", None) is None, "a thread holds the lock of one stream at a time"
    file = _lock_file(paths.streams, "streams")
    # Of the open file, not of the process: it is this thread's alone.
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, stream_id, 1, 0)
    if patient:
        fcntl.fcntl(file, fcntl.F_OFD_SETLKW, wanted)
    else:
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            with _room_to_wait(stream_id):
                fcntl.fcntl(file, fcntl.F_OFD_SETLKW, wanted)
    _local.stream = stream_id
    try:
        yield
    finally:
        _local.stream = None
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, stream_id, 1, 0))


@contextlib.contextmanager
def _file_lock() -> Iterator[None]:
    paths = _lock_paths()
    if paths is None:
        yield
        return
    file = _lock_file(paths.writer)
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


class _Paths(NamedTuple):
    writer: str
    streams: str


def _lock_paths() -> _Paths | None:
    """The files whose locks writers take, where other processes may write to SQLite's and this thread isn't writing already."""
    if not is_sqlite() or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return None
    return _beside(str(connections[DEFAULT_DB_ALIAS].settings_dict["NAME"]))


@functools.cache
def _beside(name: str) -> _Paths | None:
    if ":memory:" in name or "mode=memory" in name:
        return None
    return _Paths(str(Path(name).with_suffix(".lock")), str(Path(name).with_suffix(".streams.lock")))


def _lock_file(path: str, use: str = "writer") -> BinaryIO:
    """This thread's own open file (locks belong to these), renewed after a fork and closed when the thread ends."""
    owner = (os.getpid(), path)
    held: dict[str, tuple[tuple[int, str], BinaryIO]] = _local.__dict__.setdefault("files", {})
    found = held.get(use)
    if found is None or found[0] != owner:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)
        found = held[use] = owner, file
    return found[1]
