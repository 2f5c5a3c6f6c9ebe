"""The database's tables, brought up to date by one process at a time."""

import contextlib
import fcntl
from collections.abc import Iterator

from server.config import Config

LOCK = 0x7A11_0001


@contextlib.contextmanager
def alone(settings: Config) -> Iterator[None]:
    """One process at a time: of this machine, and on PostgreSQL of all that share the database.

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
            # However long the others take, and then what the tables' users do.
            cursor.execute("SET lock_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            yield
        finally:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
                cursor.execute("RESET lock_timeout")


def migrate() -> None:
    """Bring the tables up to date. To be called :func:`alone`."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
