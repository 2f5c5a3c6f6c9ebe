"""``python -m server``: migrate, then serve with gunicorn or granian as the settings say."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from server import config

MIGRATION_LOCK = 0x7A11_0001


def command(settings: config.Config) -> list[str]:
    """The command line of the WSGI server."""
    if settings.server == "granian":
        host, _, port = settings.bind.rpartition(":")
        return [
            sys.executable, "-m", "granian", "--interface", "wsgi",
            "--host", host.strip("[]"), "--port", port,
            "--workers", str(settings.workers), "--blocking-threads", str(settings.threads),
            "--backpressure", str(max(64, 4 * settings.threads)),
            "--no-ws", "--log-level", settings.log_level.lower(), "--workers-kill-timeout", "30",
            "server.wsgi:application",
        ]  # fmt: skip
    return [
        sys.executable, "-m", "gunicorn", "--config", "python:server.gunicorn_config",
        "--bind", settings.bind, "--workers", str(settings.workers), "--threads", str(settings.threads),
        "--log-level", settings.log_level.lower(),
        "server.wsgi:application",
    ]  # fmt: skip


@contextlib.contextmanager
def _alone(settings: config.Config) -> Iterator[None]:
    """One process at a time: of this machine, and on PostgreSQL of all that share the database."""
    from django.db import connection

    settings.var_dir.mkdir(parents=True, exist_ok=True)
    with open(settings.var_dir / "migrate.lock", "w") as file, connection.cursor() as cursor:
        fcntl.flock(file, fcntl.LOCK_EX)
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        try:
            yield
        finally:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))


def main() -> None:
    try:
        settings = config.load()
        settings.secret  # noqa: B018 - made or refused now, not in each worker
    except config.ConfigError as exc:
        sys.exit(f"tailrace: {exc}")
    except OSError as exc:
        sys.exit(f"tailrace: {exc.filename}: {exc.strerror}; set TAILRACE_VAR_DIR to a directory that can be written")
    if find_spec(settings.server) is None:
        sys.exit(f"tailrace: TAILRACE_SERVER={settings.server} is not installed: run `make setup`")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    migrate(settings)
    print(
        f"Tailrace serves on http://{settings.bind}/ with {settings.server}, {settings.workers} × {settings.threads} threads, "
        f"{'open to all' if settings.auth == 'open' else 'tokens required'}; docs at http://{settings.bind}/api/v1/docs/",
        flush=True,
    )
    argv = command(settings)
    os.execv(argv[0], argv)


def migrate(settings: config.Config) -> None:
    """Bring the database's tables up to date."""
    import django
    from django.core.management import call_command
    from django.db import DatabaseError

    django.setup()
    try:
        with _alone(settings):
            call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as exc:
        sys.exit(f"tailrace: the database can't be reached: {' '.join(str(exc).split())}; check TAILRACE_DATABASE_URL")


if __name__ == "__main__":
    main()
