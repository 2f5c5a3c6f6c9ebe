"""``manage.py migrate``: Django's command, with each migration applied and recorded in one transaction."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections, transaction
from django.db.migrations import Migration
from django.db.migrations.exceptions import AmbiguityError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState


class Executor(MigrationExecutor):
    """Applies and records a migration in one transaction.

    Django records a migration with deferred indexes in a second transaction. After a kill between the two, the next start would
    apply the migration again and fail.
    """

    def apply_migration(self, state: ProjectState, migration: Migration, *args: Any, **options: Any) -> ProjectState:
        if not migration.atomic:
            return super().apply_migration(state, migration, *args, **options)
        # SQLite can turn foreign keys off only outside a transaction.
        with self.connection.constraint_checks_disabled(), transaction.atomic(self.connection.alias):
            return super().apply_migration(state, migration, *args, **options)

    def unapply_migration(self, state: ProjectState, migration: Migration, *args: Any, **options: Any) -> ProjectState:
        if not migration.atomic:
            return super().unapply_migration(state, migration, *args, **options)
        with self.connection.constraint_checks_disabled(), transaction.atomic(self.connection.alias):
            return super().unapply_migration(state, migration, *args, **options)


migrate.MigrationExecutor = Executor  # type: ignore[attr-defined]  # the command uses this attribute


class Command(migrate.Command):
    """Django's command. On the command line, it takes no migration back: that would delete tables with their rows."""

    def run_from_argv(self, argv: list[str]) -> None:
        self._is_typed = True
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        label, name = options.get("app_label"), options.get("migration_name")
        if getattr(self, "_is_typed", False) and label and name and not (options["plan"] or options["check_unapplied"]):
            self._refuse_to_take_back(label, name, options["database"])
        super().handle(*args, **options)

    def _refuse_to_take_back(self, label: str, name: str, database: str) -> None:
        executor = Executor(connections[database])
        try:
            target = None if name == "zero" else executor.loader.get_migration_by_prefix(label, name).name
            plan = executor.migration_plan([(label, target)])
        except (KeyError, AmbiguityError):
            return  # Django's command says what is wrong
        if taken_back := [str(migration) for migration, backwards in plan if backwards]:
            raise CommandError(
                f"this would take back {len(taken_back)} migrations ({', '.join(taken_back[:3])} …) and delete the data that they made "
                "room for; nothing was changed. To go back to an earlier release, restore the backup from before the upgrade"
            )
