"""What comes before the first request: alone on its SQLite, the database there and fit, its tables up to date."""

import os
import sys
import time
from pathlib import Path

from server import database, logs, only_server
from server.config import Config
from server.database_state import (
    NEWER_SCHEMA,
    NO_DATABASE,
    OLDER_SCHEMA,
    READ_ONLY,
    State,
    examine,
    look,
    one_line,
)
from server.waiting_room import STARTING, WaitingRoom

PAUSE = 0.25
"""Seconds between two tries to reach the database."""

SAID_EVERY = 5
"""Seconds between two lines that say what is waited for."""

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
"""What a driver says where waiting changes nothing."""

UNKNOWN = (("database", "does not exist"), ("role", "does not exist"))


class CannotStart(Exception):
    """The server can't start; the message says why, and what to do."""


def prepare(settings: Config) -> None:
    """Make ready to serve. Who probes meanwhile is told what for.

    Raises
    ------
    CannotStart
        If another server has the SQLite database, or if the database can't be reached, can't store or has the tables of a
        newer version: at once where waiting changes nothing, else after ``TAILRACE_DATABASE_WAIT_SECONDS``.
    """
    room = WaitingRoom(settings.bind)
    deadline = time.monotonic() + settings.database_wait_seconds
    try:
        _be_the_only_one(settings, room)
        if _wait(deadline, settings, room).status == OLDER_SCHEMA or not _has_roles():
            room.open(State(STARTING, "the database's tables are being brought up to date"))
            _migrate(settings)
        _share_the_arithmetic()
        if settings.frozen_model is not None:
            _install(settings.frozen_model)
    finally:
        room.close()


def _be_the_only_one(settings: Config, room: WaitingRoom) -> None:
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or ":memory:" in name:
        return

    def tell(reason: str) -> None:
        say(reason)
        room.open(State(STARTING, "another server still serves the database"))

    try:
        only_server.be(Path(name), settings.database_wait_seconds, tell)
    except only_server.Taken as exc:
        raise CannotStart(str(exc)) from exc
    except OSError as exc:
        raise CannotStart(
            f"the SQLite database can't be used: {exc.filename or name}: {exc.strerror}; its directory has to be there and "
            "writable: check TAILRACE_VAR_DIR or TAILRACE_DATABASE_URL"
        ) from exc


def _wait(deadline: float, settings: Config, room: WaitingRoom) -> State:
    said = float("-inf")
    while True:
        state, detail = examine()
        if state.status == NEWER_SCHEMA:
            raise CannotStart(
                f"{state.reason}: run the version that brought it up to date, or a newer one; or restore a backup of "
                "before that into another database"
            )
        if state.status not in (NO_DATABASE, READ_ONLY):
            return state
        reason = f"the database can't be reached: {detail}" if state.status == NO_DATABASE else state.reason
        left = deadline - time.monotonic()
        if left <= 0 or _is_hopeless(detail):
            waited = f" (waited {settings.database_wait_seconds:g} s)" if left <= 0 else ""
            raise CannotStart(f"{reason}; check TAILRACE_DATABASE_URL and the database{waited}")
        room.open(State(state.status, state.reason))
        if time.monotonic() - said >= SAID_EVERY:
            say(f"{reason}; waiting for it, up to {left:.0f} s more")
            said = time.monotonic()
        time.sleep(min(PAUSE, left))


def _has_roles() -> bool:
    """Whether what follows the last migration was done, too: a start may have been killed in between."""
    from server.accounts import roles

    return roles.are_made()


def _share_the_arithmetic() -> None:
    """Fold as the database's other processes do, or not at all."""
    from server.learning import architecture

    if (reason := architecture.problem()) is not None:
        raise CannotStart(reason)


def _install(path: Path) -> None:
    """Have the frozen model in the database. The server's processes are told its name."""
    from django.conf import settings

    from server import config, frozen

    try:
        found = frozen.read(path)
        frozen.install(found)
    except frozen.FrozenError as exc:
        raise CannotStart(f"TAILRACE_FROZEN_MODEL={path}: {exc}") from exc
    os.environ.setdefault("TAILRACE_INVOCATIONS_MODEL", found.name)
    settings.TAILRACE = config.load()
    say(f"serves model {found.name} as it was after {found.at} observations, and learns nothing")


def _is_hopeless(detail: str) -> bool:
    return any(words in detail for words in HOPELESS) or any(
        f"{what} " in detail and words in detail for what, words in UNKNOWN
    )


def _migrate(settings: Config) -> None:
    from django.db import DatabaseError

    try:
        with database.alone(settings):
            if look().status == OLDER_SCHEMA or not _has_roles():  # else another server has done so
                say("bringing the database's tables up to date")
                database.migrate()
    except DatabaseError as exc:
        raise CannotStart(
            f"the database's tables can't be brought up to date: {one_line(exc)}; nothing of the step at hand was changed: "
            "put that right and start again"
        ) from exc


def say(words: str) -> None:
    """One line in the log, before there is one."""
    print(logs.line(f"tailrace: {words}"), file=sys.stderr, flush=True)
