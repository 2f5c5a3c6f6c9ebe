"""Which tables go into a backup, as they are at a state of the migrations: that of the database, not that of the code.

So a database can be backed up before the tables are brought up to date, and a backup restored into the tables that it was
made of.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import Field

LEFT_OUT = {
    "django_session": "people sign in anew on the pages",
    "accounts_signin": "people sign in anew in notebooks: one that was ended since would work again",
    "axes_accessattempt": "locked-out addresses",
    "axes_accessattemptexpiration": "locked-out addresses",
    "axes_accesslog": "not used: the audit trail has it",
    "axes_accessfailurelog": "not used: the audit trail has it",
    "learning_standing": "written anew by the server, as each model does",
    "streams_generation": "counted by each database for itself",
    "streams_usage": "counted anew when a backup is restored",
}
"""Tables whose rows stay behind, and why. Their numbers are not given again after a restore all the same."""

MADE_BY_MIGRATING = {
    "django_content_type", "auth_permission", "auth_group", "auth_group_permissions", "accounts_audithead",
}  # fmt: skip
"""Tables that hold rows where nobody has kept anything yet."""

KINDS = {
    "AutoField": "integer", "BigAutoField": "integer", "SmallIntegerField": "integer", "IntegerField": "integer",
    "BigIntegerField": "integer", "PositiveIntegerField": "integer", "PositiveSmallIntegerField": "integer",
    "PositiveBigIntegerField": "integer", "CharField": "text", "TextField": "text", "BooleanField": "boolean",
    "DateTimeField": "time", "BinaryField": "bytes", "JSONField": "json",
}  # fmt: skip
"""Django's kinds of columns to those of a backup; see :mod:`server.operations.backup.values`."""

Migrations = dict[str, list[str]]
"""Names of applied migrations by app."""


@dataclass(frozen=True)
class Table:
    """One table: its name, its primary key, and its columns with their kinds."""

    name: str
    key: str
    columns: tuple[tuple[str, str], ...]
    kept: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)


def applied(connection: BaseDatabaseWrapper) -> Migrations:
    """The migrations that the database records, sorted; none in a database without tables."""
    found: Migrations = {}
    for app, name in sorted(MigrationLoader(connection).applied_migrations):
        found.setdefault(app, []).append(name)
    return found


def unknown(migrations: Migrations) -> list[str]:
    """Those that this version doesn't have, which a newer one made."""
    have = MigrationLoader(None).graph.nodes
    return [f"{app}.{name}" for app, names in migrations.items() for name in names if (app, name) not in have]


def applied_in_code() -> Migrations:
    """All migrations that this version has."""
    found: Migrations = {}
    for app, name in sorted(MigrationLoader(None).graph.nodes):
        found.setdefault(app, []).append(name)
    return found


def plan(connection: BaseDatabaseWrapper | None, migrations: Migrations) -> list[Any]:
    """These migrations in an order in which they can be applied."""
    loader = MigrationLoader(connection)
    found: dict[tuple[str, str], Any] = {}
    for leaf in loader.graph.leaf_nodes():
        for key in loader.graph.forwards_plan(leaf):
            if key[1] in migrations.get(key[0], ()):
                found.setdefault(key, loader.graph.nodes[key])
    return list(found.values())


def at(migrations: Migrations) -> list[Table]:
    """The tables that these migrations make, sorted by name."""
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
        raise NotImplementedError(f"column {field.column} of {table} is a {internal}, which no backup holds yet")
    return KINDS[internal]
