"""Preparation of the database at the start: exclusive use of SQLite, waiting for the database, migration."""

import os
import sys
import time
from pathlib import Path

from server.config import Config
from server.core.db import migrating
from server.core.db.database_state import (
    NEWER_SCHEMA,
    NO_DATABASE,
    OLDER_SCHEMA,
    READ_ONLY,
    DatabaseState,
    check,
    check_in_detail,
    one_line,
)
from server.runtime import logs, single_instance
from server.runtime.startup_responder import STARTING, StartupResponder

PAUSE = 0.25
"""Seconds between two attempts to reach the database."""

SAID_EVERY = 5
"""Seconds between two log lines while the start waits."""

HOPELESS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "unable to open database file",
    "file is not a database",
    "certificate verify failed",
    "invalid connection option",
    "invalid dsn",
)
"""Messages of the database drivers for errors that waiting can't resolve."""

UNKNOWN = (("database", "does not exist"), ("role", "does not exist"))


class CannotStart(Exception):
    """The server can't start. The message says why and what to do."""


def prepare(settings: Config) -> None:
    """Prepare the database. Probes get a response meanwhile that says what the start waits for.

    Raises
    ------
    CannotStart
        If another server uses the SQLite database, or if the database can't be reached, can't store or has a newer schema.
        It is raised at once if waiting can't help, else after ``TAILRACE_DATABASE_WAIT_SECONDS``.
    """
    responder = StartupResponder(settings.bind)
    deadline = time.monotonic() + settings.database_wait_seconds
    try:
        _be_the_only_one(settings, responder)
        if _wait(deadline, settings, responder).status == OLDER_SCHEMA or not _has_roles():
            responder.open(DatabaseState(STARTING, "the database is being migrated"))
            _migrate(settings)
        _share_the_arithmetic()
        if settings.frozen_model is not None:
            _install(settings.frozen_model)
    finally:
        responder.close()


def _be_the_only_one(settings: Config, responder: StartupResponder) -> None:
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or ":memory:" in name:
        return

    def tell(reason: str) -> None:
        log_line(reason)
        responder.open(DatabaseState(STARTING, "another server still uses the database"))

    try:
        single_instance.acquire(Path(name), settings.database_wait_seconds, tell)
    except single_instance.AlreadyRunning as exc:
        raise CannotStart(str(exc)) from exc
    except OSError as exc:
        raise CannotStart(
            f"the SQLite database can't be used: {exc.filename or name}: {exc.strerror}; its directory must exist and be "
            "writable: check TAILRACE_VAR_DIR or TAILRACE_DATABASE_URL"
        ) from exc


def _wait(deadline: float, settings: Config, responder: StartupResponder) -> DatabaseState:
    said = float("-inf")
    while True:
        state, detail = check_in_detail()
        if state.status == NEWER_SCHEMA:
            raise CannotStart(
                f"{state.reason}: run the version that migrated it, or a newer one; or restore an earlier backup into another "
                "database"
            )
        if state.status not in (NO_DATABASE, READ_ONLY):
            return state
        reason = f"the database can't be reached: {detail}" if state.status == NO_DATABASE else state.reason
        left = deadline - time.monotonic()
        if left <= 0 or _is_hopeless(detail):
            waited = f" (waited {settings.database_wait_seconds:g} s)" if left <= 0 else ""
            raise CannotStart(f"{reason}; check TAILRACE_DATABASE_URL and the database{waited}")
        responder.open(DatabaseState(state.status, state.reason))
        if time.monotonic() - said >= SAID_EVERY:
            log_line(f"{reason}; waiting for it, up to {left:.0f} s more")
            said = time.monotonic()
        time.sleep(min(PAUSE, left))


def _has_roles() -> bool:
    """Whether the roles exist. If a start was killed after the last migration, they may be missing."""
    from server.accounts import roles

    return roles.exist()


def _share_the_arithmetic() -> None:
    """Check that this process computes with the same arithmetic as the database's other processes.

    Raises
    ------
    CannotStart
        If it doesn't.
    """
    from server.learning.fold import architecture

    if (reason := architecture.problem()) is not None:
        raise CannotStart(reason)


def _install(path: Path) -> None:
    """Store the frozen model in the database, and set ``TAILRACE_INVOCATIONS_MODEL`` to its name for the workers."""
    from django.conf import settings

    from server import config
    from server.learning import frozen_copies

    try:
        found = frozen_copies.read(path)
        frozen_copies.install(found)
    except frozen_copies.FrozenError as exc:
        raise CannotStart(f"TAILRACE_FROZEN_MODEL={path}: {exc}") from exc
    os.environ.setdefault("TAILRACE_INVOCATIONS_MODEL", found.name)
    settings.TAILRACE = config.load()
    log_line(f"serves the frozen model {found.name} as of observation {found.at}, and doesn't learn")


def _is_hopeless(detail: str) -> bool:
    return any(words in detail for words in HOPELESS) or any(
        f"{what} " in detail and words in detail for what, words in UNKNOWN
    )


def _migrate(settings: Config) -> None:
    from django.db import DatabaseError

    try:
        with migrating.migration_lock(settings):
            if check().status == OLDER_SCHEMA or not _has_roles():  # else another server has just migrated it
                log_line("migrating the database")
                migrating.migrate()
    except DatabaseError as exc:
        raise CannotStart(
            f"the database can't be migrated: {one_line(exc)}; the failed migration changed nothing: fix the cause and start "
            "again"
        ) from exc


def log_line(words: str) -> None:
    """Write a log line, before logging is configured."""
    print(logs.line(f"tailrace: {words}"), file=sys.stderr, flush=True)
