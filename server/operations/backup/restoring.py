"""Restoration of a backup into an empty SQLite or PostgreSQL database, in one transaction.

It creates the tables with the schema of the backup, fills them, and migrates them. If it fails (a damaged file, a full disk,
SIGKILL), the database is unchanged.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from server.core import audit_signals
from server.operations.backup import numbering, tables, values
from server.operations.backup.container import Reader
from server.operations.backup.errors import BackupError, Damaged, Newer
from server.operations.backup.tables import MADE_BY_MIGRATING, Migrations, Table
from server.operations.recount import recount

Progress = Callable[[int], None]
"""Called with the number of restored rows."""


def restore(
    file: BinaryIO, progress: Progress | None = None, before_commit: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Restore a backup into the database of the settings.

    Parameters
    ----------
    file
        The backup.
    progress
        Called from time to time with the progress.
    before_commit
        Called when the tables are restored. If it raises, nothing is changed.

    Returns
    -------
    dict
        The backup's header, with the number of ``rows`` of each table.

    Raises
    ------
    Damaged, Newer, BackupError
        If the backup can't be used, or the database isn't empty. Nothing was changed.
    DatabaseError
        If the database can't be reached or can't store.
    """
    reader = Reader(file)
    header = reader.header
    migrations: Migrations = header["migrations"]
    missing = tables.unknown(migrations)
    if missing:
        raise Newer(
            f"it was made by a newer version, Tailrace {header['tailrace']}; this version doesn't know {', '.join(missing)}: "
            "restore it with that version or a newer one"
        )
    with _alone_in_one_transaction():
        _clear()
        executor = MigrationExecutor(connection)
        executor.migrate([], [(migration, False) for migration in tables.plan(None, migrations)])
        made = tables.at(migrations)
        rows = _fill(reader, header, made, progress)
        call_command("migrate", verbosity=0, interactive=False)
        recount()
        audit_signals.send(
            "backup.restore", header["made_at"], after={"tailrace": header["tailrace"], "database": header["database"]}
        )
        if before_commit is not None:
            before_commit()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {**header, "rows": rows}


@contextlib.contextmanager
def _alone_in_one_transaction() -> Iterator[None]:
    """Run the block in one transaction. Foreign keys are checked at the end, because SQLite can't create tables otherwise."""
    connection.ensure_connection()
    with connection.constraint_checks_disabled(), transaction.atomic(durable=True):
        yield
        connection.check_constraints()


def _clear() -> None:
    """Drop the tables of a database without data.

    Raises
    ------
    BackupError
        If it has data.
    """
    migrations = tables.applied(connection)
    missing = tables.unknown(migrations)
    if missing:
        raise Newer(f"the database schema is newer than this version ({', '.join(missing)}): use the newer version")
    if not migrations:
        return
    ours = tables.at(migrations)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("LOCK TABLE " + ", ".join(f'"{table.name}"' for table in ours) + " IN ACCESS EXCLUSIVE MODE")
        for table in ours:
            if table.kept and table.name not in MADE_BY_MIGRATING:
                cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{table.name}")')
                if cursor.fetchone()[0]:
                    raise BackupError(
                        f"the database is not empty: {table.name} has rows. A backup can be restored only into an empty "
                        "database: create a new one (on SQLite, use another file)"
                    )
        for name in [*(table.name for table in ours), "django_migrations"]:
            cursor.execute(f'DROP TABLE "{name}"' + (" CASCADE" if connection.vendor == "postgresql" else ""))
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.proname LIKE 'tailrace\\_%%'"
                " AND p.pronamespace = current_schema()::regnamespace"
            )
            for (function,) in cursor.fetchall():
                cursor.execute(f"DROP FUNCTION {function} CASCADE")


def _fill(reader: Reader, header: dict[str, Any], made: list[Table], progress: Progress | None) -> dict[str, int]:
    by_name = {table.name: table for table in made}
    renumbered = numbering.Renumbered(connection, header["greatest_event"])
    counts: dict[str, int] = {}
    done = 0
    for name, columns, chunks in reader.tables():
        table = by_name.get(name)
        if table is None or (table.kept and not {column for column, _ in columns} <= set(table.names)):
            raise Damaged(f"its table {name} doesn't match its migrations")
        if not table.kept:  # older versions included it
            all(True for _ in chunks)
            continue
        insert = _inserting(name, columns)
        number = [column for column, _ in columns].index("xid") if name in numbering.ORDERED else None
        counts[name] = 0
        for rows in chunks:
            if number is not None:
                renumbered(name, rows, number)
            insert(rows)
            done += len(rows)
            counts[name] += len(rows)
            if progress is not None:
                progress(done)
    numbering.continue_after(connection, made, header["last_given"])
    if connection.vendor == "sqlite" and header["database"] != "sqlite":
        numbering.by_batches(connection)
    connection.check_constraints()
    ContentType.objects.clear_cache()
    return counts


def _inserting(table: str, columns: values.Columns) -> Callable[[list[list[Any]]], None]:
    """Delete the rows that migrations added to a table, and return a function that inserts rows."""
    names = ", ".join(f'"{name}"' for name, _ in columns)
    with connection.cursor() as cursor:
        cursor.execute(f'DELETE FROM "{table}"')
    if connection.vendor == "postgresql":
        line = values.for_copy(columns)

        def copy(rows: list[list[Any]]) -> None:
            with connection.cursor() as cursor:
                cursor.copy_expert(f'COPY "{table}" ({names}) FROM STDIN', io.StringIO("".join(map(line, rows))))

        return copy
    convert = values.for_sqlite(columns)
    sql = f'INSERT INTO "{table}" ({names}) VALUES ({", ".join(["%s"] * len(columns))})'

    def insert(rows: list[list[Any]]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(sql, [convert(row) for row in rows])

    return insert
