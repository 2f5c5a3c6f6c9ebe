"""Migration of the database, by one process at a time."""

import contextlib
import fcntl
from collections.abc import Iterator

from server.config import Config

LOCK = 0x7A11_0001


@contextlib.contextmanager
def migration_lock(settings: Config) -> Iterator[None]:
    """Hold the migration lock: one process at a time on this machine, and on PostgreSQL among all that share the database.

    Raises
    ------
    DatabaseError
        If the database can't be reached.
    """
    from django.db import connection

    settings.var_dir.mkdir(parents=True, exist_ok=True)
    with open(settings.var_dir / "migrate.lock", "w") as file, connection.cursor() as cursor:
        fcntl.flock(file, fcntl.LOCK_EX)
        if connection.vendor == "postgresql":
            # Wait without limit, for other processes that migrate and for transactions that use the tables.
            cursor.execute("SET lock_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            yield
        finally:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
                cursor.execute("RESET lock_timeout")


def migrate() -> None:
    """Run ``manage.py migrate``. Call it inside :func:`migration_lock`."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
