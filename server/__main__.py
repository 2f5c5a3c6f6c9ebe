"""``python -m server``: wait for the database, migrate, then serve with gunicorn or granian as the settings say.

It becomes the WSGI server's parent process itself, with all that a worker needs loaded: a worker is ready as soon as it is
forked, at the start and when it takes the place of one that died, and the workers share the memory.
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

from server import config, granian_respawn, logs, process

MOST_HEADERS = 2**15
"""granian: bytes of a request's head."""

ADDRESS_WAIT = 5.0
"""Seconds in which a server that is being stopped may leave its address to this one."""

LOG_CONFIG = config.ROOT / "server" / "granian_logging.json"


def command(settings: config.Config) -> list[str]:
    """The command line of the WSGI server."""
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
        sys.executable, "-m", "gunicorn", "--config", "python:server.gunicorn_config",
        "--bind", settings.bind, "--workers", str(settings.workers), "--threads", str(settings.threads),
        "--log-level", settings.log_level.lower(), "--forwarded-allow-ips", settings.trusted_proxies,
        "server.wsgi:application",
    ]  # fmt: skip


def main() -> None:
    try:
        settings = config.load()
        settings.secret, settings.hosts  # noqa: B018 - made or refused now, not in each worker
    except config.ConfigError as exc:
        sys.exit(f"tailrace: {exc}")
    except OSError as exc:
        where = "" if exc.filename is None else f"{exc.filename}: "
        sys.exit(f"tailrace: {where}{exc.strerror}; set TAILRACE_VAR_DIR to a directory that can be written")
    if find_spec(settings.server) is None:
        sys.exit(f"tailrace: TAILRACE_SERVER={settings.server} is not installed: run `make setup`")
    if settings.traces and find_spec("opentelemetry") is None:
        sys.exit(
            "tailrace: an endpoint for traces is set, and OpenTelemetry is not installed: "
            "run `pip install -r requirements/tracing.txt`, or unset TAILRACE_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    prepare(settings)
    wait_for_address(settings)
    serves = (
        f"Tailrace serves on http://{settings.bind}/ with {settings.server}, {settings.workers} × {settings.threads} threads, "
        f"{'open to all' if settings.auth == 'open' else 'tokens required'}; docs at http://{settings.bind}/api/v1/docs/"
    )
    print(logs.line(serves), flush=True)
    load()
    if settings.server == "granian":
        multiprocessing.set_start_method("fork", force=True)  # from Python 3.14 on its workers would load all anew
        granian_respawn.tolerate_ended_workers()
        process.hear_stops()
        os.register_at_fork(after_in_child=process.hear_stops)
    from server import supervisor

    supervisor.start(settings)
    sys.argv = command(settings)[2:]
    runpy.run_module(settings.server, run_name="__main__", alter_sys=True)


def prepare(settings: config.Config) -> None:
    """Have the database ready, and say so if nobody could come in."""
    import django
    from django.db import DatabaseError

    django.setup()
    from django.contrib.auth.models import User

    from server import startup

    try:
        startup.prepare(settings)
        nobody = settings.auth == "required" and not settings.oidc_issuer and not User.objects.exists()
    except startup.CannotStart as exc:
        sys.exit(f"tailrace: {exc}")
    except DatabaseError as exc:
        sys.exit(f"tailrace: the database can't be used: {' '.join(str(exc).split())}; check TAILRACE_DATABASE_URL")
    if nobody:
        startup.say("nobody can come in yet: `manage.py init` makes the first admin")


def wait_for_address(settings: config.Config) -> None:
    """Return when the address can be listened on; exit with one line if it can't, or if another program keeps it."""
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
                    f"tailrace: another program listens on {settings.bind}: stop it, or choose another port, such as "
                    f"TAILRACE_BIND={settings.bind.rpartition(':')[0]}:{int(settings.bind.rpartition(':')[2]) % 65535 + 1}"
                )
            time.sleep(0.1)


def load() -> None:
    """Import what answers requests. What runs (threads, connections, files) is begun in each worker (:mod:`server.wsgi`)."""
    from django.conf import settings
    from django.db import connections
    from django.utils.module_loading import import_string

    gc.disable()  # nearly all of it stays: looking for garbage meanwhile takes a quarter of the time
    import_module(settings.ROOT_URLCONF)
    for middleware in settings.MIDDLEWARE:
        import_string(middleware)
    gc.collect()
    gc.freeze()
    gc.enable()
    connections.close_all()


if __name__ == "__main__":
    main()
