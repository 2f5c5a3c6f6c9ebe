"""``manage.py migrate``: Django's own, but each migration is applied and recorded in one transaction."""

from typing import Any

from django.core.management.commands import migrate
from django.db import transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState


class Executor(MigrationExecutor):
    """Applies a migration and records it, or neither.

    Django's own records a migration with deferred indexes in a second transaction. After a kill between the two, the next start
    would find tables that the record doesn't know of, and refuse to go on.
    """

    def apply_migration(self, state: ProjectState, migration: Migration, *args: Any, **options: Any) -> ProjectState:
        if not migration.atomic:
            return super().apply_migration(state, migration, *args, **options)
        # SQLite turns foreign keys off only outside of a transaction.
        with self.connection.constraint_checks_disabled(), transaction.atomic(self.connection.alias):
            return super().apply_migration(state, migration, *args, **options)

    def unapply_migration(self, state: ProjectState, migration: Migration, *args: Any, **options: Any) -> ProjectState:
        if not migration.atomic:
            return super().unapply_migration(state, migration, *args, **options)
        with self.connection.constraint_checks_disabled(), transaction.atomic(self.connection.alias):
            return super().unapply_migration(state, migration, *args, **options)


migrate.MigrationExecutor = Executor  # type: ignore[attr-defined]  # the command takes it from there


class Command(migrate.Command):
    pass
