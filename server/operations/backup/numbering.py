"""Numbers that a database assigns: row numbers, which are never reused, and the numbers that order events.

Events (:mod:`server.learning.event_log`) are ordered on PostgreSQL by the number of the transaction that wrote them, and on
SQLite by the number of the batch. A backup stores the number of its own database in the column ``xid``, for both. PostgreSQL
sends only events of finished transactions, so a restored number must be less than that of the next transaction.
"""

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from server.operations.backup.tables import Table

BATCHES, PREDICTIONS = "streams_batch", "learning_prediction"
ORDERED = (BATCHES, PREDICTIONS)


def last_given(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> dict[str, int]:
    """Return the last row number that each table assigned, also if that row was deleted."""
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, seq FROM sqlite_sequence")
            known = dict(cursor.fetchall())
            return {table.name: known[table.name] for table in tables if known.get(table.name)}
        for table in tables:
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [f'"{table.name}"', table.key])
            (sequence,) = cursor.fetchone()
            if sequence is not None:
                cursor.execute(f"SELECT last_value, is_called FROM {sequence}")
                last, called = cursor.fetchone()
                if called:
                    found[table.name] = last
    return found


def continue_after(connection: BaseDatabaseWrapper, tables: Sequence[Table], last: dict[str, int]) -> None:
    """Make each table continue with greater row numbers."""
    with connection.cursor() as cursor:
        for table in tables:
            if table.name not in last:
                continue
            if connection.vendor == "sqlite":
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table.name])
                cursor.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table.name, last[table.name]]
                )
                continue
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [f'"{table.name}"', table.key])
            (sequence,) = cursor.fetchone()
            if sequence is not None:
                cursor.execute("SELECT setval(%s::regclass, %s)", [sequence, last[table.name]])


def selected(table: Table, column: str, vendor: str) -> str | None:
    """Return the SQL expression for ``xid``, where it isn't the column itself; else None."""
    return '"id"' if (table.name, column, vendor) == (BATCHES, "xid", "sqlite") else None


def greatest(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> int:
    """Return the greatest number of an event."""
    if not {table.name for table in tables} >= set(ORDERED):
        return 0
    batch = "id" if connection.vendor == "sqlite" else "xid"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT COALESCE(MAX({batch}), 0) FROM {BATCHES}),"
            f" (SELECT COALESCE(MAX(xid), 0) FROM {PREDICTIONS})"
        )
        return max(cursor.fetchone())


class Renumbered:
    """Renumbers events for PostgreSQL. If numbers exceed its current transaction number, they are scaled down.

    The order stays the same, except for events that get the same number. A prediction stays before its label.
    """

    def __init__(self, connection: BaseDatabaseWrapper, greatest: int) -> None:
        self._greatest = greatest
        self._room: int | None = None
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
                (ours,) = cursor.fetchone()
            if greatest >= ours:
                self._room = ours - 2

    def __call__(self, table: str, rows: list[list[Any]], column: int) -> None:
        """Change the numbers in the rows' ``column``."""
        if self._room is None:
            return
        shift = 1 if table == BATCHES else 0
        for row in rows:
            if row[column] is not None:
                row[column] = row[column] * self._room // (self._greatest + 1) + shift


def by_batches(connection: BaseDatabaseWrapper) -> None:
    """On SQLite, after events from PostgreSQL were restored: number each prediction by the last batch before it."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {PREDICTIONS} SET xid = COALESCE((SELECT b.id FROM {BATCHES} b WHERE b.xid <= {PREDICTIONS}.xid"
            " ORDER BY b.xid DESC, b.id DESC LIMIT 1), 0)"
        )
