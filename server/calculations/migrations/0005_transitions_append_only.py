"""Triggers that refuse to change, replace or delete transitions, except those of a calculation that was deleted.

Django copies a table of SQLite to alter it, and the copy has no triggers: a migration that alters transitions makes them anew.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE = "calculations_transition"
REFUSAL = "transitions are append-only"
DELETED = "EXISTS (SELECT 1 FROM calculations_deletion WHERE calculation = OLD.calculation_id)"

SQLITE = {
    "transition_no_update": "BEFORE UPDATE ON {table}",
    "transition_no_delete": f"BEFORE DELETE ON {{table}} WHEN NOT {DELETED}",
    "transition_no_replace": "BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)",
}
POSTGRESQL = {
    "transition_no_change": "BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW",
    "transition_no_truncate": "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT",
}
FUNCTION = f"""CREATE FUNCTION tailrace_refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN
        IF {DELETED} THEN RETURN OLD; END IF;
    END IF;
    RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation';
END $$"""


def make(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "sqlite":
        for name, event in SQLITE.items():
            refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            editor.execute(f"CREATE TRIGGER {name} {event.format(table=TABLE)} {refuse}", params=None)
        return
    editor.execute(FUNCTION, params=None)
    for name, event in POSTGRESQL.items():
        call = "EXECUTE FUNCTION tailrace_refuse_transition()"
        editor.execute(f"CREATE TRIGGER {name} {event.format(table=TABLE)} {call}", params=None)


def unmake(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "sqlite":
        for name in SQLITE:
            editor.execute(f"DROP TRIGGER IF EXISTS {name}", params=None)
        return
    for name in POSTGRESQL:
        editor.execute(f"DROP TRIGGER IF EXISTS {name} ON {TABLE}", params=None)
    editor.execute("DROP FUNCTION tailrace_refuse_transition()", params=None)


class Migration(migrations.Migration):
    dependencies = [("calculations", "0004_deletions")]

    operations = [migrations.RunPython(make, unmake)]
