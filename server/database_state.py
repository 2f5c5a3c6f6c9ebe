"""What state the database is in for a server of this version: for probes, and before a start."""

import functools
import os
from pathlib import Path
from typing import NamedTuple

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader

from server.streams.locks import is_sqlite, renew_if_hung_up

READY = "ready"
NO_DATABASE = "no_database"
READ_ONLY = "read_only"
OLDER_SCHEMA = "older_schema"
NEWER_SCHEMA = "newer_schema"


class State(NamedTuple):
    """A word for programs, and a sentence for people that holds no secret: anyone may read it."""

    status: str
    reason: str = ""


def look() -> State:
    """Ask the database, with this thread's connection: can it be reached, can it store, are its tables this version's?

    How long that takes is up to the database. A failing connection is given up, so that the next look opens another.
    """
    return examine()[0]


def examine() -> tuple[State, str]:
    """The same, and what the database's driver said: for the log alone, since it may name hosts and users."""
    try:
        if not is_sqlite():
            renew_if_hung_up()
        return _found(), ""
    except (DatabaseError, InterfaceError) as exc:
        connection.close()
        return State(NO_DATABASE, "the database can't be reached or doesn't answer"), one_line(exc)


def one_line(exc: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(exc).split()) or type(exc).__name__


def _found() -> State:
    writable = _is_sqlite_writable() if is_sqlite() else _is_postgresql_writable()
    return writable or _schema()


def _is_postgresql_writable() -> State | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
        row = cursor.fetchone()
    if row[0]:
        return State(READ_ONLY, "the database is in recovery (a standby, or being restored): it stores nothing")
    return State(READ_ONLY, "the database is read-only: it stores nothing") if row[1] else None


def _is_sqlite_writable() -> State | None:
    name = str(connection.settings_dict["NAME"])
    for path in (Path(name), Path(name).parent):
        if path.exists() and not os.access(path, os.W_OK):
            return State(READ_ONLY, "the database's file or directory is read-only: it stores nothing")
    return None


def _schema() -> State:
    """Older, newer or the same, by the migrations that were applied."""
    ours = migrations()
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT app, name FROM django_migrations")
        except DatabaseError:
            if "django_migrations" in connection.introspection.table_names(cursor):
                raise
            return State(OLDER_SCHEMA, "the database has no tables yet: a start makes them")
        applied = set(cursor.fetchall())
    missing = sorted(ours - applied)
    if missing:
        return State(
            OLDER_SCHEMA,
            f"the database's tables are older than this version ({_named(missing)} not applied): a start brings them up to date",
        )
    # Names are numbered, and those of before a squash stay in the table.
    last = {app: max(name for own, name in ours if own == app) for app, _ in ours}
    newer = sorted((app, name) for app, name in applied if app in last and name > last[app])
    if newer:
        return State(NEWER_SCHEMA, f"the database's tables are of a newer version ({_named(newer)} is unknown here)")
    return State(READY)


def _named(found: list[tuple[str, str]]) -> str:
    app, name = found[0]
    return f"{app}.{name}" + (f" and {len(found) - 1} more" if len(found) > 1 else "")


@functools.cache
def migrations() -> frozenset[tuple[str, str]]:
    """App and name of each migration of this version; read from disk once."""
    loader = MigrationLoader(None)
    labels = {config.label for config in apps.get_app_configs()}
    return frozenset(key for key in loader.disk_migrations if key[0] in labels)
