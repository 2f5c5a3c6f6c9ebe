"""``python -m server``: wait for the database, migrate it, then serve with gunicorn or granian, as set.

This process becomes the parent process of the WSGI server, with everything loaded that a worker needs. So a worker is ready as
soon as it is forked, and the workers share memory.
"""

import errno
import gc
import multiprocessing
import os
import runpy
import socket
import sys
import time
from importlib import import_module
from importlib.util import find_spec

from server import config
from server.runtime import announcement, granian_parent, process

MOST_HEADERS = 2**15
"""Largest size of a request's headers in granian, bytes."""

ADDRESS_WAIT = 5.0
"""Seconds to wait until a server that is stopping releases the address."""

LOG_CONFIG = config.ROOT / "server" / "granian_logging.json"


def command(settings: config.Config) -> list[str]:
    """Return the command line of the WSGI server."""
    if settings.server == "granian":
        host, _, port = settings.bind.rpartition(":")
        return [
            sys.executable, "-m", "granian", "--interface", "wsgi",
            "--host", host.strip("[]"), "--port", port,
            "--workers", str(settings.workers), "--blocking-threads", str(settings.threads),
            "--respawn-failed-workers",
            "--backpressure", str(settings.connections),
            "--http", "1", "--no-ws", "--http1-buffer-size", str(MOST_HEADERS),
            "--http1-header-read-timeout", str(round(settings.request_seconds * 1000)),
            "--log-config", str(LOG_CONFIG), "--log-level", settings.log_level.lower(), "--workers-kill-timeout", "30",
            "server.wsgi:application",
        ]  # fmt: skip
    return [
        sys.executable, "-m", "gunicorn", "--config", "python:server.runtime.gunicorn_config",
        "--bind", settings.bind, "--workers", str(settings.workers), "--threads", str(settings.threads),
        "--log-level", settings.log_level.lower(), "--forwarded-allow-ips", settings.trusted_proxies,
        "server.wsgi:application",
    ]  # fmt: skip


def main() -> None:
    try:
        settings = config.load()
        settings.secret, settings.hosts  # noqa: B018 - created or refused now, not in each worker
    except config.ConfigError as exc:
        sys.exit(f"tailrace: {exc}")
    except OSError as exc:
        where = "" if exc.filename is None else f"{exc.filename}: "
        sys.exit(f"tailrace: {where}{exc.strerror}; set TAILRACE_VAR_DIR to a directory that can be written")
    if find_spec(settings.server) is None:
        sys.exit(f"tailrace: TAILRACE_SERVER={settings.server} is not installed: run `make setup`")
    if settings.traces and find_spec("opentelemetry") is None:
        sys.exit(
            "tailrace: an endpoint for traces is set, but OpenTelemetry is not installed: "
            "run `pip install -r requirements/tracing.txt`, or unset TAILRACE_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    prepare(settings)
    wait_for_address(settings)
    announcement.prepare(settings)
    load()
    if settings.server == "granian":
        multiprocessing.set_start_method(
            "fork", force=True
        )  # the default since Python 3.14 would load everything again in each worker
        granian_parent.tolerate_ended_workers()
        granian_parent.announce_the_start(settings)
        process.handle_stop_signals()
        os.register_at_fork(after_in_child=process.handle_stop_signals)
    from server.runtime import supervisor

    supervisor.start(settings)
    sys.argv = command(settings)[2:]
    runpy.run_module(settings.server, run_name="__main__", alter_sys=True)


def prepare(settings: config.Config) -> None:
    """Prepare the database, and print a hint if there is no user yet."""
    import django
    from django.db import DatabaseError

    django.setup()
    from django.contrib.auth.models import User

    from server.runtime import startup

    try:
        startup.prepare(settings)
        nobody = settings.auth == "required" and not settings.oidc_issuer and not User.objects.exists()
    except startup.CannotStart as exc:
        sys.exit(f"tailrace: {exc}")
    except DatabaseError as exc:
        sys.exit(f"tailrace: the database can't be used: {' '.join(str(exc).split())}; check TAILRACE_DATABASE_URL")
    if nobody:
        startup.log_line("there are no users yet: run `manage.py init` to create the first admin")


def wait_for_address(settings: config.Config) -> None:
    """Wait until the address is free. Exit with a message if it can't be used or another program keeps it."""
    deadline = time.monotonic() + ADDRESS_WAIT
    while True:
        try:
            with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as place:
                place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                place.bind((settings.host, int(settings.bind.rpartition(":")[2])))
            return
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                sys.exit(f"tailrace: can't listen on {settings.bind}: {exc.strerror}; check TAILRACE_BIND")
            if time.monotonic() > deadline:
                sys.exit(
                    f"tailrace: another program listens on {settings.bind}: stop it, or use another port, such as "
                    f"TAILRACE_BIND={settings.bind.rpartition(':')[0]}:{int(settings.bind.rpartition(':')[2]) % 65535 + 1}"
                )
            time.sleep(0.1)


def load() -> None:
    """Import the application. Threads, connections and files are opened in each worker (:mod:`server.wsgi`)."""
    from django.conf import settings
    from django.db import connections
    from django.utils.module_loading import import_string

    gc.disable()  # nearly all objects stay, and garbage collection would take a quarter of the time
    import_module(settings.ROOT_URLCONF)
    for middleware in settings.MIDDLEWARE:
        import_string(middleware)
    gc.collect()
    gc.freeze()
    gc.enable()
    connections.close_all()


if __name__ == "__main__":
    main()
