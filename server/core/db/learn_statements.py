"""SQL statements of a learn, sent to PostgreSQL in two round trips.

A statement that is sent alone costs as much in waking up, parsing and planning as in its work. So the statements are
prepared; ``BEGIN`` is sent with the lock and the first SELECT, and ``COMMIT`` with the last INSERT.
SQLite runs in this process, so there the statements are executed one by one (:mod:`server.streams.log`).
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connection

from server.core.db import prepared_statements
from server.core.db.locks import ADVISORY_SPACE, is_sqlite, transaction_for_writing
from server.core.db.prepared_statements import BoundStatement, Statement

LOCK_STREAM = Statement(f"SELECT pg_advisory_xact_lock({ADVISORY_SPACE}, %s)")
SELECT_HEAD = Statement("SELECT head, epoch, NULL FROM streams_stream WHERE id = %s")
SELECT_HEAD_AND_KEYS = Statement(
    "SELECT head, epoch, (SELECT json_object_agg(key, seq) FROM streams_key WHERE stream_id = %s AND key = ANY(%s))"
    " FROM streams_stream WHERE id = %s",
    unprepared=True,  # a plan made while there are few keys scans the whole table
)
INSERT_BATCH = Statement(
    "INSERT INTO streams_batch (stream_id, last, count, at, xs, ys, checksum, notes, predictions, skipped, xid)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, pg_current_xact_id()::text::bigint)",
)
INSERT_KEYS = Statement(
    "INSERT INTO streams_key (stream_id, key, seq) SELECT %s, * FROM unnest(%s, %s)",
    "bigint, text[], bigint[]",
)
UPDATE_HEAD = Statement("UPDATE streams_stream SET head = %s WHERE id = %s")


class _Local(threading.local):
    """Whether this thread is inside a :func:`transaction` that this module begins and ends."""

    ours = False


_local = _Local()


@contextlib.contextmanager
def transaction() -> Iterator[None]:
    """Run the block like :func:`~server.core.db.locks.transaction_for_writing`, with ``BEGIN`` and ``COMMIT`` sent along.

    On PostgreSQL the first :func:`execute` sends ``BEGIN``, so no other query may come before it. An :func:`execute` with
    ``last`` sends ``COMMIT``; without one, the end of the block commits.
    """
    within = connection.in_atomic_block
    with transaction_for_writing():
        if within or is_sqlite():
            yield
            return
        held = connection.connection
        held.autocommit = _local.ours = True  # for the driver: this module sends BEGIN, COMMIT and ROLLBACK
        try:
            yield
            if prepared_statements.has_failed(held):  # PostgreSQL would turn COMMIT into ROLLBACK, without an error
                raise DatabaseError("a statement failed before the commit")
            if not connection.needs_rollback:
                _end(held, "COMMIT")
        finally:
            _local.ours = False
            _end(held, "ROLLBACK")


def _end(held: Any, command: str) -> None:
    if prepared_statements.is_open(held):
        with connection.wrap_database_errors:
            prepared_statements.send(held, (), [command])


def execute(*statements: BoundStatement, last: bool = False) -> tuple[Any, ...] | None:
    """Execute several statements in one round trip.

    Parameters
    ----------
    statements
        The statements.
    last
        Whether to commit with them, if the :func:`transaction` is the outermost.

    Returns
    -------
    The first row of the last statement; None if it has none.
    """
    held = connection.connection
    begin = ["BEGIN"] if _local.ours and not prepared_statements.is_open(held) else []
    with connection.wrap_database_errors:
        return prepared_statements.send(held, statements, begin, ["COMMIT"] if _local.ours and last else [])
