"""Statements that PostgreSQL parses and plans once for each connection, sent several in one trip."""

import logging
import threading
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

GOES_WELL, HAS_FAILED = 2, 3
"""The driver's numbers for an open transaction."""

NOT_PREPARED, PREPARED_BEFORE = "26000", "42P05"
"""PostgreSQL's codes for what is seen where a pooler gives each transaction the connection that it has at hand."""


class Statement:
    """A statement, and what it is called on a connection: after what it says, so that no name ever has two meanings.

    Parameters
    ----------
    sql
        Written for psycopg (``%s``).
    types
        Of its parameters, where PostgreSQL can't tell.
    anew
        Not to prepare it: its plan depends on how large a table is, and would be kept while the table grows.
    """

    def __init__(self, sql: str, types: str = "", *, anew: bool = False) -> None:
        count = sql.count("%s")
        text = f"{types and f'({types})'} AS {sql % tuple(f'${n + 1}' for n in range(count))}"
        self.sql = sql
        self.name = f"tailrace_{sha256(text.encode()).hexdigest()[:16]}"
        self.prepare = f"PREPARE {self.name}{text}"
        self.anew = anew
        self.execute = f"EXECUTE {self.name}({', '.join(['%s'] * count)})" if count else f"EXECUTE {self.name}"


class Said(NamedTuple):
    """A statement with its parameters."""

    what: Statement
    parameters: Sequence[Any]


class _Local(threading.local):
    """What a thread has prepared, and on which connection."""

    held: Any = None
    done: set[Statement]


_local = _Local()


class Pooler:
    """Whether one was found: then nothing is prepared."""

    found = False


def send(
    held: Any, said: Sequence[Said], before: Sequence[str] = (), after: Sequence[str] = ()
) -> tuple[Any, ...] | None:
    """Have PostgreSQL carry these out in one trip.

    Parameters
    ----------
    held
        The driver's connection.
    said
        What.
    before, after
        Words without parameters: ``BEGIN``, ``COMMIT``.

    Returns
    -------
    The first row of the last, if it has any.

    Raises
    ------
    psycopg2.Error
        As the driver raises it.
    """
    began = is_open(held)
    try:
        return _send(held, said, before, after)
    except Exception as exc:
        if getattr(exc, "pgcode", None) not in (NOT_PREPARED, PREPARED_BEFORE):
            raise
        logger.info("the database is behind a pooler that shares its connections, so no statement is prepared any more")
        Pooler.found = True
        if began:  # what came before is lost with the transaction: only the caller can repeat it
            raise
    if is_open(held):
        _send(held, (), ["ROLLBACK"], ())
    return _send(held, said, before, after)


def _send(held: Any, said: Sequence[Said], before: Sequence[str], after: Sequence[str]) -> tuple[Any, ...] | None:
    with held.cursor() as cursor:
        if not Pooler.found:
            _prepare(held, cursor, said)
        words = [what.sql if what.anew or Pooler.found else what.execute for what, _ in said]
        cursor.execute("; ".join([*before, *words, *after]), [value for _, values in said for value in values])
        return cursor.fetchone() if cursor.description else None


def _prepare(held: Any, cursor: Any, said: Sequence[Said]) -> None:
    if _local.held is not held:
        _local.held, _local.done = held, set()
    for what, _ in said:
        if not what.anew and what not in _local.done:
            cursor.execute(what.prepare)
            _local.done.add(what)


def is_open(held: Any) -> bool:
    """Whether a transaction is under way on the driver's connection."""
    return not held.closed and held.info.transaction_status in (GOES_WELL, HAS_FAILED)


def has_failed(held: Any) -> bool:
    """Whether a statement of that transaction failed, so that nothing of it can be stored any more."""
    return not held.closed and held.info.transaction_status == HAS_FAILED
