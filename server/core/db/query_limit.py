"""A time limit for queries that a caller has composed. Without one, a filter may keep the database busy for minutes."""

import contextlib
import threading
from collections.abc import Iterator

from django.db import OperationalError, connection, transaction

from server.core.db.locks import is_sqlite
from server.core.errors import TooLarge


class QueryTooSlow(TooLarge):
    """A query took too long, and was stopped."""

    code = "too_slow"


@contextlib.contextmanager
def time_limit(seconds: float, advice: str) -> Iterator[None]:
    """Stop queries of the block after a time. The block only reads.

    Parameters
    ----------
    seconds
        SQLite: since the block began. PostgreSQL: for each statement of it.
    advice
        What the caller can do; the end of the message.

    Raises
    ------
    QueryTooSlow
        If a query was stopped.
    """
    try:
        with _sqlite(seconds) if is_sqlite() else _postgresql(seconds):
            yield
    except OperationalError as exc:
        if not _was_stopped(exc):
            raise
        raise QueryTooSlow(f"the query was stopped after {seconds:g} s: {advice}") from exc


def _was_stopped(exc: OperationalError) -> bool:
    cause = exc.__cause__
    return getattr(cause, "pgcode", None) == "57014" or getattr(cause, "sqlite_errorname", "") == "SQLITE_INTERRUPT"


@contextlib.contextmanager
def _sqlite(seconds: float) -> Iterator[None]:
    """Interrupt from another thread: a progress handler would wait for the interpreter's lock every few rows."""
    connection.ensure_connection()
    driver, lock, running = connection.connection, threading.Lock(), [True]

    def stop() -> None:
        with lock:
            if running:
                driver.interrupt()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            running.clear()
        timer.cancel()


@contextlib.contextmanager
def _postgresql(seconds: float) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", (max(1, round(seconds * 1000)),))
        yield
        cursor.execute("SET LOCAL statement_timeout = DEFAULT")  # the transaction may be a part of another one
