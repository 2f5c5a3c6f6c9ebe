"""Tables of a backup, for the migration state of the database, not of the code.

So a database can be backed up before it is migrated, and a backup can be restored into the schema that it was made from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import Field

LEFT_OUT = {
    "django_session": "people sign in again on the pages",
    "accounts_signin": "people sign in again in notebooks: otherwise an ended sign-in would work again",
    "axes_accessattempt": "locked-out addresses",
    "axes_accessattemptexpiration": "locked-out addresses",
    "axes_accesslog": "not used: the audit trail has the same entries",
    "axes_accessfailurelog": "not used: the audit trail has the same entries",
    "calculations_removal": "contents that were being deleted",
    "learning_modelstatus": "written again by the server when a model learns",
    "learning_standing": "name of learning_modelstatus in backups of releases before learning/0008",
    "learning_record": "made again by the server from the log",
    "learning_recordblock": "made again by the server from the log",
    "streams_generation": "each database has its own",
    "streams_usage": "counted again when a backup is restored",
}
"""Tables whose rows are not included, and why. Their row numbers are still not reused after a restore."""

MADE_BY_MIGRATING = {
    "django_content_type", "auth_permission", "auth_group", "auth_group_permissions", "accounts_audithead",
}  # fmt: skip
"""Tables that have rows in a database without data."""

KINDS = {
    "AutoField": "integer", "BigAutoField": "integer", "SmallIntegerField": "integer", "IntegerField": "integer",
    "BigIntegerField": "integer", "PositiveIntegerField": "integer", "PositiveSmallIntegerField": "integer",
    "PositiveBigIntegerField": "integer", "CharField": "text", "TextField": "text", "BooleanField": "boolean",
    "FloatField": "float",
    "DateTimeField": "time", "BinaryField": "bytes", "JSONField": "json",
}  # fmt: skip
"""Kinds of columns in a backup (:mod:`server.operations.backup.values`), by Django's field types."""

Migrations = dict[str, list[str]]
"""Names of applied migrations by app."""


@dataclass(frozen=True)
class Table:
    """A table: its name, its primary key, and its columns with their kinds."""

    name: str
    key: str
    columns: tuple[tuple[str, str], ...]
    kept: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)


def applied(connection: BaseDatabaseWrapper) -> Migrations:
    """Return the applied migrations, sorted; none in a database without tables."""
    found: Migrations = {}
    for app, name in sorted(MigrationLoader(connection).applied_migrations):
        found.setdefault(app, []).append(name)
    return found


def unknown(migrations: Migrations) -> list[str]:
    """Return the migrations that this version doesn't know."""
    have = MigrationLoader(None).graph.nodes
    return [f"{app}.{name}" for app, names in migrations.items() for name in names if (app, name) not in have]


def plan(connection: BaseDatabaseWrapper | None, migrations: Migrations) -> list[Any]:
    """Return the migrations in the order in which they can be applied."""
    loader = MigrationLoader(connection)
    found: dict[tuple[str, str], Any] = {}
    for leaf in loader.graph.leaf_nodes():
        for key in loader.graph.forwards_plan(leaf):
            if key[1] in migrations.get(key[0], ()):
                found.setdefault(key, loader.graph.nodes[key])
    return list(found.values())


def at(migrations: Migrations) -> list[Table]:
    """Return the tables that these migrations create, sorted by name."""
    state = ProjectState()
    for migration in plan(None, migrations):
        state = migration.mutate_state(state, preserve=False)
    models: Iterable[Any] = state.apps.get_models(include_auto_created=True)
    return sorted((_table(model) for model in models if model._meta.managed), key=lambda table: table.name)


def _table(model: Any) -> Table:
    meta = model._meta
    kept = meta.db_table not in LEFT_OUT
    columns = tuple((field.column, _kind(field, meta.db_table)) for field in meta.local_concrete_fields) if kept else ()
    return Table(meta.db_table, meta.pk.column, columns, kept)


def _kind(field: "Field[Any, Any]", table: str) -> str:
    while field.remote_field is not None:
        field = field.target_field  # type: ignore[attr-defined]
    internal = field.get_internal_type()
    if internal not in KINDS:
        raise NotImplementedError(f"column {field.column} of {table} is a {internal}, which backups don't support yet")
    return KINDS[internal]
