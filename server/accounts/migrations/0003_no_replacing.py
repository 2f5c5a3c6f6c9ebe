"""Triggers against rows that are replaced: ``INSERT OR REPLACE`` on SQLite, ``TRUNCATE`` on PostgreSQL.

SQLite deletes the rows that REPLACE puts others in the place of without firing triggers for the deletion. So an insert
looks for them first: into the audit trail it is refused, and of what callers may do it counts as a change.
"""

import importlib

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

before = importlib.import_module("server.accounts.migrations.0002_triggers")

AUDIT = "accounts_auditentry"
UNIQUE = {
    AUDIT: ("id", "number"),
    "auth_user": ("id", "username"),
    "accounts_token": ("id", "hash"),
    "accounts_signin": ("id",),
}
"""Table to its unique columns. Of the other tables that are watched every insert counts already."""


def _there(table: str) -> str:
    """Whether an insert would take the place of a row. Each column is looked up by its own index."""
    return " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {column} = NEW.{column})" for column in UNIQUE[table])


def _sqlite() -> list[str]:
    statements = [
        f"CREATE TRIGGER audit_no_replace BEFORE INSERT ON {AUDIT} WHEN {_there(AUDIT)} "
        f"BEGIN SELECT RAISE(ABORT, '{before.REFUSAL}'); END"
    ]
    count = before.COUNT.format(now=before.NOW["sqlite"])
    statements += [
        f"CREATE TRIGGER generation_{table}_replace BEFORE INSERT ON {table} WHEN {_there(table)} BEGIN {count} END"
        for table in UNIQUE
        if table != AUDIT
    ]
    return statements


def _postgresql() -> list[str]:
    statements = [
        f"CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {AUDIT} FOR EACH STATEMENT "
        "EXECUTE FUNCTION tailrace_refuse()"
    ]
    statements += [
        f"CREATE TRIGGER generation_{table}_truncate AFTER TRUNCATE ON {table} FOR EACH STATEMENT "
        "EXECUTE FUNCTION tailrace_count_generation()"
        for table in before.WATCHED
    ]
    return statements


def make(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for statement in _sqlite() if editor.connection.vendor == "sqlite" else _postgresql():
        editor.execute(statement, params=None)


def unmake(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "sqlite":
        for name in ("audit_no_replace", *(f"generation_{table}_replace" for table in UNIQUE if table != AUDIT)):
            editor.execute(f"DROP TRIGGER IF EXISTS {name}", params=None)
        return
    editor.execute(f"DROP TRIGGER IF EXISTS audit_no_truncate ON {AUDIT}", params=None)
    for table in before.WATCHED:
        editor.execute(f"DROP TRIGGER IF EXISTS generation_{table}_truncate ON {table}", params=None)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_triggers")]

    operations = [migrations.RunPython(make, unmake)]
