"""Prepared statements of PostgreSQL: parsed and planned once per connection, several sent in one round trip."""

import logging
import threading
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

TRANSACTION_OPEN, TRANSACTION_FAILED = 2, 3
"""Transaction states of the driver (libpq's PQTRANS_INTRANS and PQTRANS_INERROR)."""

NOT_PREPARED, ALREADY_PREPARED = "26000", "42P05"
"""Error codes of PostgreSQL that occur behind a pooler that assigns connections by transaction."""


class Statement:
    """A statement and the name of its prepared form.

    The name is a hash of the SQL, so that one name never has two meanings.

    Parameters
    ----------
    sql
        The SQL, with placeholders as psycopg expects them (``%s``).
    types
        Types of the parameters, where PostgreSQL can't infer them.
    unprepared
        Send the SQL each time. For statements whose best plan depends on the size of a growing table.
    """

    def __init__(self, sql: str, types: str = "", *, unprepared: bool = False) -> None:
        count = sql.count("%s")
        text = f"{types and f'({types})'} AS {sql % tuple(f'${n + 1}' for n in range(count))}"
        self.sql = sql
        self.name = f"tailrace_{sha256(text.encode()).hexdigest()[:16]}"
        self.prepare = f"PREPARE {self.name}{text}"
        self.unprepared = unprepared
        self.execute = f"EXECUTE {self.name}({', '.join(['%s'] * count)})" if count else f"EXECUTE {self.name}"


class BoundStatement(NamedTuple):
    """A statement with its parameters."""

    statement: Statement
    parameters: Sequence[Any]


class _Local(threading.local):
    """The statements that this thread has prepared, and on which connection."""

    held: Any = None
    done: set[Statement]


_local = _Local()


class Pooler:
    """Whether a pooler was detected. If so, statements are no longer prepared."""

    found = False


def send(
    held: Any, statements: Sequence[BoundStatement], before: Sequence[str] = (), after: Sequence[str] = ()
) -> tuple[Any, ...] | None:
    """Execute several statements in one round trip.

    Parameters
    ----------
    held
        The driver's connection.
    statements
        The statements.
    before, after
        Commands without parameters, such as ``BEGIN`` and ``COMMIT``.

    Returns
    -------
    The first row of the last statement; None if it has none.

    Raises
    ------
    psycopg2.Error
        As the driver raises it.
    """
    began = is_open(held)
    try:
        return _send(held, statements, before, after)
    except Exception as exc:
        if getattr(exc, "pgcode", None) not in (NOT_PREPARED, ALREADY_PREPARED):
            raise
        logger.info("the database is behind a pooler that shares its connections: statements are no longer prepared")
        Pooler.found = True
        if began:  # the earlier statements of the transaction are lost: only the caller can repeat them
            raise
    if is_open(held):
        _send(held, (), ["ROLLBACK"], ())
    return _send(held, statements, before, after)


def _send(
    held: Any, statements: Sequence[BoundStatement], before: Sequence[str], after: Sequence[str]
) -> tuple[Any, ...] | None:
    with held.cursor() as cursor:
        if not Pooler.found:
            _prepare(held, cursor, statements)
        commands = [one.sql if one.unprepared or Pooler.found else one.execute for one, _ in statements]
        values = [value for _, parameters in statements for value in parameters]
        cursor.execute("; ".join([*before, *commands, *after]), values)
        return cursor.fetchone() if cursor.description else None


def _prepare(held: Any, cursor: Any, statements: Sequence[BoundStatement]) -> None:
    if _local.held is not held:
        _local.held, _local.done = held, set()
    for statement, _ in statements:
        if not statement.unprepared and statement not in _local.done:
            cursor.execute(statement.prepare)
            _local.done.add(statement)


def is_open(held: Any) -> bool:
    """Whether the driver's connection has an open transaction."""
    return not held.closed and held.info.transaction_status in (TRANSACTION_OPEN, TRANSACTION_FAILED)


def has_failed(held: Any) -> bool:
    """Whether a statement of the open transaction failed, so that it can only be rolled back."""
    return not held.closed and held.info.transaction_status == TRANSACTION_FAILED
