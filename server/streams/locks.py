"""Who writes: one transaction at a time per stream, across threads, processes and pods.

On PostgreSQL an advisory lock, taken before the transaction has a number of its own, so that transaction numbers grow
in the order of the log (events are read in that order). On SQLite, whose writers exclude one another
anyway, a file lock in front of ``BEGIN IMMEDIATE``: the kernel wakes the next writer at once, where SQLite's own
busy handler sleeps and polls.
"""

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.db import DatabaseError, IntegrityError, InterfaceError, connection, transaction

from server.streams import instruments
from server.streams.errors import Unavailable

_local = threading.local()
ADVISORY_SPACE = 0x7A11


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


def lock_stream(stream_id: int) -> None:
    """Wait for the stream's lock, which is held to the end of the transaction."""
    if not is_sqlite():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (ADVISORY_SPACE, stream_id % 2**31))


@contextlib.contextmanager
def _file_lock() -> Iterator[None]:
    name = str(connection.settings_dict["NAME"])
    if not is_sqlite() or connection.in_atomic_block or ":memory:" in name or "mode=memory" in name:
        yield
        return
    file = _lock_file(Path(name).with_suffix(".lock"))
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _lock_file(path: Path) -> BinaryIO:
    """This thread's own open file (locks belong to these), renewed after a fork and closed when the thread ends."""
    owner = (os.getpid(), path)
    if getattr(_local, "owner", None) != owner:
        _local.file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb", buffering=0)
        _local.owner = owner
    file: BinaryIO = _local.file
    return file
