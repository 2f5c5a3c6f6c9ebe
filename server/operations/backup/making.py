"""Creation of a backup: a consistent snapshot of the database, while others write."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from server.operations.backup import numbering, tables, values
from server.operations.backup.container import Writer
from server.operations.backup.errors import BackupError, Newer
from server.operations.backup.tables import Table

FEWEST_ROWS, MOST_ROWS = 1, 4096
CHUNK_BYTES = 2**20

Progress = Callable[[int, int], None]
"""Called with the number of written rows and of all rows."""


@contextlib.contextmanager
def snapshot_connection() -> Iterator[BaseDatabaseWrapper]:
    """Open a separate connection that sees the database as of now, and doesn't block writers.

    Raises
    ------
    BackupError
        If the database file doesn't exist.
    DatabaseError
        If it can't be reached.
    """
    default = connections["default"]
    name = str(default.settings_dict["NAME"])
    if default.vendor == "sqlite" and "memory" not in name and not Path(name).is_file():
        raise BackupError(f"there is no database to back up at {name}")
    own = default.copy()  # type: ignore[no-untyped-call]
    try:
        own.ensure_connection()
        if own.vendor == "sqlite":
            own.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]  # others can write meanwhile
            with own.cursor() as cursor:
                cursor.execute("PRAGMA query_only = ON")
        own.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        if own.vendor == "postgresql":
            with own.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield own
    finally:
        if own.connection is not None:
            with contextlib.suppress(DatabaseError):
                own.rollback()
        BaseDatabaseWrapper.close(own)  # SQLite's own method doesn't close a database in memory


def write(
    connection: BaseDatabaseWrapper, file: BinaryIO, progress: Progress | None = None, **also: Any
) -> dict[str, int]:
    """Write all data of the database.

    Parameters
    ----------
    connection
        The connection from :func:`snapshot_connection`.
    file
        The file to write to.
    progress
        Called from time to time with the progress.
    **also
        What else the header contains.

    Returns
    -------
    dict
        The number of rows of each table, and under ``""`` the number of written bytes.

    Raises
    ------
    Newer
        If the database has the schema of a newer version.
    BackupError
        If it has no tables.
    OSError
        If the file can't be written.
    """
    migrations = tables.applied(connection)
    if not migrations:
        raise BackupError("the database is empty: there is nothing to back up")
    missing = tables.unknown(migrations)
    if missing:
        raise Newer(
            f"the database schema is newer than this version ({version('tailrace')}), which doesn't know {', '.join(missing)}: "
            "back it up with the newer version"
        )
    everything = tables.at(migrations)
    kept = [table for table in everything if table.kept]
    total = _count(connection, kept) if progress is not None else 0
    header = {
        "tailrace": version("tailrace"),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": connection.vendor,
        "migrations": migrations,
        "last_given": numbering.last_given(connection, everything),
        "greatest_event": numbering.greatest(connection, everything),
        **also,
    }
    writer = Writer(file, header)
    counts: dict[str, int] = {}
    done = 0
    for table in kept:
        writer.begin(table.name, table.columns)
        convert = values.outward(table.columns)
        for rows in _read(connection, table):
            writer.rows([convert(row) for row in rows])
            counts[table.name] = counts.get(table.name, 0) + len(rows)
            done += len(rows)
            if progress is not None:
                progress(done, total)
        writer.end()
    writer.finish()
    return counts | {"": writer.size}


def _count(connection: BaseDatabaseWrapper, kept: list[Table]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + " + ".join(f'(SELECT COUNT(*) FROM "{table.name}")' for table in kept))
        (total,) = cursor.fetchone()
    return int(total)


def _read(connection: BaseDatabaseWrapper, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a table in the order of their keys, in chunks of about a megabyte."""
    columns = ", ".join(
        numbering.selected(table, name, connection.vendor) or values.expression(name, kind, connection.vendor)
        for name, kind in table.columns
    )
    wanted = FEWEST_ROWS
    with connection.chunked_cursor() as cursor:
        cursor.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY "{table.key}"')
        while rows := cursor.fetchmany(wanted):
            yield rows
            size = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes, memoryview)))
            if size < CHUNK_BYTES // 4:
                wanted = min(MOST_ROWS, wanted * 2)
            elif size > CHUNK_BYTES:
                wanted = max(FEWEST_ROWS, wanted // 2)
