"""State of the database for a server of this version, for probes and at the start."""

import functools
import os
from pathlib import Path
from typing import NamedTuple

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader

from server.core.db.locks import close_if_hung_up, is_sqlite

READY = "ready"
NO_DATABASE = "no_database"
READ_ONLY = "read_only"
OLDER_SCHEMA = "older_schema"
NEWER_SCHEMA = "newer_schema"


class DatabaseState(NamedTuple):
    """A status for programs, and a reason for people. The reason contains no secret: anyone may read it."""

    status: str
    reason: str = ""


def check() -> DatabaseState:
    """Check whether the database can be reached, accepts writes and has the tables of this version.

    It uses the connection of this thread and has no timeout. It closes a failing connection, so that the next check opens a
    new one.
    """
    return check_in_detail()[0]


def check_in_detail() -> tuple[DatabaseState, str]:
    """Return the result of :func:`check` and the message of the database driver.

    The message is for the log only, because it may name hosts and users.
    """
    try:
        if not is_sqlite():
            close_if_hung_up()
        return _found(), ""
    except (DatabaseError, InterfaceError) as exc:
        connection.close()
        return DatabaseState(NO_DATABASE, "the database can't be reached or doesn't respond"), one_line(exc)


def one_line(exc: BaseException) -> str:
    """Return the message of an exception as one line."""
    return " ".join(str(exc).split()) or type(exc).__name__


def _found() -> DatabaseState:
    writable = _is_sqlite_writable() if is_sqlite() else _is_postgresql_writable()
    return writable or _schema()


def _is_postgresql_writable() -> DatabaseState | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
        row = cursor.fetchone()
    if row[0]:
        return DatabaseState(
            READ_ONLY, "the database is in recovery (it is a standby or being restored) and accepts no writes"
        )
    return DatabaseState(READ_ONLY, "the database is read-only") if row[1] else None


def _is_sqlite_writable() -> DatabaseState | None:
    name = str(connection.settings_dict["NAME"])
    for path in (Path(name), Path(name).parent):
        if path.exists() and not os.access(path, os.W_OK):
            return DatabaseState(READ_ONLY, "the file or the directory of the database is read-only")
    return None


def _schema() -> DatabaseState:
    """Compare the applied migrations with those of this version."""
    ours = migrations()
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT app, name FROM django_migrations")
        except DatabaseError:
            if "django_migrations" in connection.introspection.table_names(cursor):
                raise
            return DatabaseState(OLDER_SCHEMA, "the database has no tables yet: start the server to create them")
        applied = set(cursor.fetchall())
    missing = sorted(ours - applied)
    if missing:
        return DatabaseState(
            OLDER_SCHEMA,
            f"the database schema is older than this version ({_named(missing)} not applied): "
            "start the server to migrate it",
        )
    # Names start with a number. The names of squashed migrations stay in the table.
    last = {app: max(name for own, name in ours if own == app) for app, _ in ours}
    newer = sorted((app, name) for app, name in applied if app in last and name > last[app])
    if newer:
        return DatabaseState(NEWER_SCHEMA, f"the database schema is newer than this version (unknown: {_named(newer)})")
    return DatabaseState(READY)


def _named(found: list[tuple[str, str]]) -> str:
    app, name = found[0]
    return f"{app}.{name}" + (f" and {len(found) - 1} more" if len(found) > 1 else "")


@functools.cache
def migrations() -> frozenset[tuple[str, str]]:
    """Return app and name of each migration of this version. They are read from disk once."""
    loader = MigrationLoader(None)
    labels = {config.label for config in apps.get_app_configs()}
    return frozenset(key for key in loader.disk_migrations if key[0] in labels)
