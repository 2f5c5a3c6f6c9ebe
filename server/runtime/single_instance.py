"""Lock that allows one server per SQLite database. File locks aren't reliable between machines and containers."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

PAUSE = 0.1
"""Seconds between two attempts to take the lock."""

_held: list[int] = []
"""The open lock file, until this process ends. Forked processes inherit it; it survives ``exec``."""


class AlreadyRunning(Exception):
    """Another server uses the database. The message says which one and what to do."""


def acquire(database: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Take the lock of an SQLite database, until this process and the processes that it forks have ended.

    It waits for a server that is stopping, or for workers of a killed server. Commands (``manage.py``) don't need the lock.

    Parameters
    ----------
    database
        File of the database. The lock file is beside it, so that it is found wherever the volume is mounted.
    seconds
        How long to wait.
    say
        Called once with a message if it has to wait.

    Raises
    ------
    AlreadyRunning
        If another server still holds the lock after that time.
    OSError
        If the lock file can't be created.
    """
    descriptor = os.open(database.with_suffix(".serving"), os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + seconds
    waits = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            other = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "unknown process"
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise AlreadyRunning(
                    f"another server ({other}) uses the SQLite database {database}, which allows one server at a time: run "
                    "one replica, or set TAILRACE_DATABASE_URL to a PostgreSQL database, which allows several"
                ) from None
            if not waits:
                say(f"another server ({other}) uses {database}: waiting up to {seconds:g} s for it to stop")
                waits = True
        time.sleep(PAUSE)
    with contextlib.suppress(OSError):  # on a full volume the file doesn't name this process
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    os.set_inheritable(descriptor, True)
    _held.append(descriptor)


def exclude_servers() -> None:
    """Take the lock for a command, so that no server can use the SQLite database until this process ends.

    On PostgreSQL it does nothing: the operator has to stop the servers.

    Raises
    ------
    AlreadyRunning
        If a server uses the database.
    """
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or "memory" in name:
        return
    try:
        acquire(Path(name), 0, lambda line: None)
    except AlreadyRunning as exc:
        raise AlreadyRunning(f"a server uses the SQLite database {name}: stop it first") from exc
