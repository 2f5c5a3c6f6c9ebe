"""Triggers: what no code may leave out (a new generation) and no interface may do (change the audit trail)."""

import time
from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Table to the columns that matter to what callers may do; for all tables, rows that come and go matter too.
WATCHED = {
    "auth_user": "username, is_active, is_superuser",
    "auth_user_groups": "user_id, group_id",
    "auth_user_user_permissions": "user_id, permission_id",
    "auth_group_permissions": "group_id, permission_id",
    "accounts_token": "owner_id, hash, scopes, streams, expires_at, revoked_at",
    "accounts_signin": "user_id, revoked_at",
}
COUNT = (
    "INSERT INTO streams_generation (id, value) VALUES (1, {now}) "
    "ON CONFLICT (id) DO UPDATE SET value = streams_generation.value + 1;"
)
# A new row begins at the time, so that a number that a process remembers doesn't come again.
NOW = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER) * 1000",
    "postgresql": "EXTRACT(EPOCH FROM now())::bigint * 1000",
}
REFUSAL = "the audit trail is append-only"


def _events() -> list[tuple[str, str, str]]:
    """Trigger name, event and table."""
    found = []
    for table, columns in WATCHED.items():
        found.append((f"generation_{table}_update", f"UPDATE OF {columns}", table))
        found.append((f"generation_{table}_delete", "DELETE", table))
        if not table.startswith("accounts_") and table != "auth_user":
            found.append((f"generation_{table}_insert", "INSERT", table))
    return found


def _sqlite() -> list[str]:
    count = COUNT.format(now=NOW["sqlite"])
    statements = [
        f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {count} END" for name, event, table in _events()
    ]
    refusals = [
        f"CREATE TRIGGER audit_no_{event.lower()} BEFORE {event} ON accounts_auditentry "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        for event in ("UPDATE", "DELETE")
    ]
    return statements + refusals


def _postgresql() -> list[str]:
    statements = [
        f"""CREATE FUNCTION tailrace_count_generation() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN {COUNT.format(now=NOW["postgresql"])} RETURN NULL; END $$""",
        f"""CREATE FUNCTION tailrace_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    ]
    for name, event, table in _events():
        statements.append(
            f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION tailrace_count_generation()"
        )
    statements.append(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON accounts_auditentry FOR EACH ROW "
        "EXECUTE FUNCTION tailrace_refuse()"
    )
    return statements


def _undo(vendor: str) -> list[str]:
    names = [(name, table) for name, _, table in _events()]
    audit = ["audit_no_update", "audit_no_delete"] if vendor == "sqlite" else ["audit_no_change"]
    names += [(name, "accounts_auditentry") for name in audit]
    if vendor == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {name}" for name, _ in names]
    dropped = [f"DROP TRIGGER IF EXISTS {name} ON {table}" for name, table in names]
    return [*dropped, "DROP FUNCTION tailrace_count_generation()", "DROP FUNCTION tailrace_refuse()"]


def make(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    vendor = editor.connection.vendor
    for statement in _sqlite() if vendor == "sqlite" else _postgresql():
        editor.execute(statement, params=None)
    generation: Any = apps.get_model("streams", "Generation")
    generation.objects.get_or_create(pk=1, defaults={"value": int(time.time()) * 1000})
    head: Any = apps.get_model("accounts", "AuditHead")
    head.objects.get_or_create(pk=1)


def unmake(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for statement in _undo(editor.connection.vendor):
        editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("streams", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [migrations.RunPython(make, unmake)]
