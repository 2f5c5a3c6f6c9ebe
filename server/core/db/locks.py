"""Transactions and stream locks: one writer at a time per stream, across threads, processes and pods.

PostgreSQL: a stream's lock is an advisory lock. It is taken before the transaction gets its number, so that transaction
numbers grow in the order of the log, in which events are read.

SQLite: a stream's lock is a lock on one byte of a file. It is taken before the transaction, so that models learn under it
while other streams write. SQLite allows one writer at a time, so each transaction also takes a file lock before
``BEGIN IMMEDIATE``: the kernel wakes the next writer at once, while SQLite's busy handler sleeps and polls.
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

from server.core.errors import Unavailable
from server.core.metrics import declarations

_local = threading.local()
ADVISORY_SPACE = 0x7A11
_FLOCK = struct.Struct("hhqqi0q")
"""``struct flock``: type, whence, start, length, process."""


@functools.cache
def is_sqlite() -> bool:
    return connection.vendor == "sqlite"


@contextlib.contextmanager
def transaction_for_writing() -> Iterator[None]:
    """Run the block in a durable transaction. A database failure closes the connection and becomes :class:`Unavailable`.

    Raises
    ------
    Unavailable
        If the database can't be reached or can't store. Nothing was changed; or, if the response to a commit was lost, the
        same request with the same key finds out.
    IntegrityError
        If it conflicts with what is stored, such as a name that another request has just taken. Nothing was changed.
    """
    try:
        with _file_lock(), transaction.atomic(durable=not connection.in_atomic_block):
            yield
    except IntegrityError:
        raise
    except (DatabaseError, InterfaceError) as exc:
        raise to_unavailable(exc) from exc


def to_unavailable(exc: Exception) -> Unavailable:
    """Close the connection that failed, count the error, and return the error to raise in its place."""
    declarations.database_errors.labels(type(exc).__name__).add()  # few values: Django's own classes
    if not connection.in_atomic_block:
        connection.close()
    return Unavailable(
        f"the database doesn't respond or can't store ({type(exc).__name__}: {str(exc).strip()}); try again"
    )


def close_if_hung_up() -> None:
    """Close this thread's connection if PostgreSQL has closed its end (a restart, a crash), so that the next use reconnects.

    An idle connection becomes readable only when its other end is closed. So one poll is enough, without a query.
    """
    held = connection.connection
    if held is None or connection.in_atomic_block:
        return
    poll = select.poll()
    try:
        poll.register(held.fileno(), select.POLLIN)
        ended = bool(poll.poll(0))
    except DatabaseError:  # psycopg2 has already noticed that it is closed
        ended = True
    if ended:
        connection.close()


@contextlib.contextmanager
def stream_transaction(stream_id: int, *, patient: bool = False) -> Iterator[None]:
    """Run the block in a :func:`transaction_for_writing` that holds the stream's lock throughout.

    Parameters
    ----------
    stream_id
        The stream.
    patient
        Wait for the lock, however many others wait. Use it in threads that don't answer requests.

    Raises
    ------
    Unavailable
        If too many requests already wait for locks.
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
"""Number of requests that wait for the lock of each stream, without those that learn."""
_deciding = threading.Lock()


@contextlib.contextmanager
def _room_to_wait(stream_id: int) -> Iterator[None]:
    """Limit how many requests wait for locks at once, in total and per stream, so that threads stay free for others.

    Raises
    ------
    Unavailable
        If too many requests already wait.
    """
    most = max(2, settings.TAILRACE.working_threads // 4)
    with _deciding:
        if _waiting.total() >= most or _waiting[stream_id] >= most // 2:
            raise Unavailable("the stream is busy, and too many requests wait for it already; try again")
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
    """Hold the stream's lock on SQLite. On PostgreSQL this does nothing: the transaction holds the lock.

    To avoid deadlocks, a thread takes it before a transaction, never inside one, and for one stream at a time.

    Raises
    ------
    Unavailable
        If too many requests already wait for locks, and ``patient`` is false.
    """
    paths = _lock_paths()
    if paths is None or getattr(_local, "stream", None) == stream_id:
        yield
        return
    assert getattr(_local, "stream", None) is None, "a thread holds the lock of one stream at a time"
    file = _lock_file(paths.streams, "streams")
    # The lock belongs to the open file, not to the process. Each thread has its own open file.
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
    """Return the lock files of writers; None if no file lock is needed.

    None is needed on PostgreSQL, for a database in memory, and inside a transaction.
    """
    if not is_sqlite() or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return None
    return _beside(str(connections[DEFAULT_DB_ALIAS].settings_dict["NAME"]))


@functools.cache
def _beside(name: str) -> _Paths | None:
    if ":memory:" in name or "mode=memory" in name:
        return None
    return _Paths(str(Path(name).with_suffix(".lock")), str(Path(name).with_suffix(".streams.lock")))


def _lock_file(path: str, use: str = "writer") -> BinaryIO:
    """Return this thread's open file, to which its locks belong. It is reopened after a fork and closed with the thread."""
    owner = (os.getpid(), path)
    held: dict[str, tuple[tuple[int, str], BinaryIO]] = _local.__dict__.setdefault("files", {})
    found = held.get(use)
    if found is None or found[0] != owner:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)
        found = held[use] = owner, file
    return found[1]
