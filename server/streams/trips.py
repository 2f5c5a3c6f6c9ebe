"""What a learn says to PostgreSQL, in two trips.

A statement on its own costs both sides as much in waking up, parsing and planning as in what it does. So ``BEGIN`` goes
with the lock and the first look, ``COMMIT`` with the last insert, and all of them are prepared once for each connection.
On SQLite, which is called and not talked to, statements go one by one.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection

from server.streams.locks import ADVISORY_SPACE, is_sqlite, transaction_for_writing

logger = logging.getLogger(__name__)

STATEMENTS = {
    "lock": (f"SELECT pg_advisory_xact_lock({ADVISORY_SPACE}, %s)", "int"),
    "look": (
        "SELECT head, epoch, (SELECT json_object_agg(key, seq) FROM streams_key WHERE stream_id = %s AND key = ANY(%s))"
        " FROM streams_stream WHERE id = %s",
        "bigint, text[], bigint",
    ),
    "batch": (
        "INSERT INTO streams_batch (stream_id, last, count, at, xs, ys, notes, predictions, skipped, xid)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, pg_current_xact_id()::text::bigint)",
        "bigint, bigint, int, timestamptz, text, text, text, text, text",
    ),
    "keys": (
        "INSERT INTO streams_key (stream_id, key, seq) SELECT %s, * FROM unnest(%s, %s)",
        "bigint, text[], bigint[]",
    ),
    "head": ("UPDATE streams_stream SET head = %s WHERE id = %s", "bigint, bigint"),
}
"""Name to what is said, and the types of its parameters."""

PREPARED = "; ".join(
    f"PREPARE tailrace_{name}({types}) AS " + sql % tuple(f"${n + 1}" for n in range(sql.count("%s")))
    for name, (sql, types) in STATEMENTS.items()
)

Said = tuple[str, tuple[Any, ...]]
"""The name of a statement, and its parameters."""


class _Local(threading.local):
    """What a thread knows of its connection.

    Attributes
    ----------
    ours
        Whether it is inside a :func:`transaction` that is to be begun and ended here.
    prepared
        The connection on which everything is prepared.
    """

    ours = False
    prepared: Any = None


_local = _Local()

IN_TRANSACTION = (2, 3)
"""The driver's numbers for an open transaction: one that goes well, and one that failed."""

NOT_PREPARED, PREPARED_BEFORE = "26000", "42P05"
"""PostgreSQL's codes for what is seen where a pooler gives a transaction the connection that it has at hand."""


class _Pooler:
    """Whether one was found: then nothing is prepared."""

    found = False


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
            if not connection.needs_rollback:
                _end(held, "COMMIT")
        finally:
            _local.ours = False
            _end(held, "ROLLBACK")


def _end(held: Any, how: str) -> None:
    if _is_open(held):
        with connection.wrap_database_errors:
            _send(held, [how])


def say(*said: Said, last: bool = False) -> tuple[Any, ...] | None:
    """Have PostgreSQL carry these out in one trip.

    Parameters
    ----------
    said
        What, from :data:`STATEMENTS`.
    last
        Whether to commit with it, where the :func:`transaction` is the outermost.

    Returns
    -------
    The first row of the last of them, if it has any.
    """
    held = connection.connection
    with connection.wrap_database_errors:
        if not _local.ours:
            return _send(held, [], said)
        end = ["COMMIT"] if last else []
        if _is_open(held):
            return _send(held, [], said, end)
        try:
            return _send(held, ["BEGIN"], said, end)
        except Exception as exc:
            if getattr(exc, "pgcode", None) not in (NOT_PREPARED, PREPARED_BEFORE):
                raise
        logger.info(
            "the database is behind a pooler that shares its connections, so a learn's statements aren't prepared"
        )
        _Pooler.found = True
        _end(held, "ROLLBACK")
        return _send(held, ["BEGIN"], said, end)


def _send(held: Any, before: list[str], said: Sequence[Said] = (), after: Sequence[str] = ()) -> tuple[Any, ...] | None:
    with held.cursor() as cursor:
        if said and not _Pooler.found and _local.prepared is not held:
            cursor.execute(PREPARED)
            _local.prepared = held
        sent = "; ".join([*before, *map(_words, said), *after])
        cursor.execute(sent, [value for _, parameters in said for value in parameters])
        return cursor.fetchone() if cursor.description else None


def _words(said: Said) -> str:
    name, parameters = said
    return STATEMENTS[name][0] if _Pooler.found else f"EXECUTE tailrace_{name}({', '.join(['%s'] * len(parameters))})"


def _is_open(held: Any) -> bool:
    return not held.closed and held.info.transaction_status in IN_TRANSACTION
