"""What a learn says to PostgreSQL, in two trips.

A statement on its own costs both sides as much in waking up, parsing and planning as in what it does. So ``BEGIN`` goes
with the lock and the first look, ``COMMIT`` with the last insert, and they are prepared.
On SQLite, which is called and not talked to, statements go one by one.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connection

from server.streams import prepared
from server.streams.locks import ADVISORY_SPACE, is_sqlite, transaction_for_writing
from server.streams.prepared import Said, Statement

LOCK = Statement(f"SELECT pg_advisory_xact_lock({ADVISORY_SPACE}, %s)")
LOOK = Statement("SELECT head, epoch, NULL FROM streams_stream WHERE id = %s")
LOOK_WITH_KEYS = Statement(
    "SELECT head, epoch, (SELECT json_object_agg(key, seq) FROM streams_key WHERE stream_id = %s AND key = ANY(%s))"
    " FROM streams_stream WHERE id = %s",
    anew=True,  # made on a first day with few keys, it would read all of them
)
BATCH = Statement(
    "INSERT INTO streams_batch (stream_id, last, count, at, xs, ys, checksum, notes, predictions, skipped, xid)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, pg_current_xact_id()::text::bigint)",
)
KEYS = Statement(
    "INSERT INTO streams_key (stream_id, key, seq) SELECT %s, * FROM unnest(%s, %s)",
    "bigint, text[], bigint[]",
)
HEAD = Statement("UPDATE streams_stream SET head = %s WHERE id = %s")


class _Local(threading.local):
    """Whether a thread is inside a :func:`transaction` that is to be begun and ended here."""

    ours = False


_local = _Local()


@contextlib.contextmanager
def transaction() -> Iterator[None]:
    """As :func:`~server.streams.locks.transaction_for_writing`; on PostgreSQL it begins and may end with a :func:`say`.

    So there nothing else may be asked before the first. Where none was said to be the last, the end of the block commits.
    """
    within = connection.in_atomic_block
    with transaction_for_writing():
        if within or is_sqlite():
            yield
            return
        held = connection.connection
        held.autocommit = _local.ours = True  # as the driver sees it: BEGIN, COMMIT and ROLLBACK are ours to say
        try:
            yield
            if prepared.has_failed(held):  # PostgreSQL would answer COMMIT with a ROLLBACK, and no error
                raise DatabaseError("a statement failed before the commit")
            if not connection.needs_rollback:
                _end(held, "COMMIT")
        finally:
            _local.ours = False
            _end(held, "ROLLBACK")


def _end(held: Any, how: str) -> None:
    if prepared.is_open(held):
        with connection.wrap_database_errors:
            prepared.send(held, (), [how])


def say(*said: Said, last: bool = False) -> tuple[Any, ...] | None:
    """Have PostgreSQL carry these out in one trip.

    Parameters
    ----------
    said
        What.
    last
        Whether to commit with it, where the :func:`transaction` is the outermost.

    Returns
    -------
    The first row of the last of them, if it has any.
    """
    held = connection.connection
    begin = ["BEGIN"] if _local.ours and not prepared.is_open(held) else []
    with connection.wrap_database_errors:
        return prepared.send(held, said, begin, ["COMMIT"] if _local.ours and last else [])
