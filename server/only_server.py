"""One server on one SQLite database: two would answer from one file over two machines' or containers' idea of its locks."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

PAUSE = 0.1
"""Seconds between two tries to be the only one."""

_held: list[int] = []
"""The lock's open file, for as long as this process lives: what it becomes by ``exec`` and forks has it, too."""


class Taken(Exception):
    """Another server serves the database; the message says which and what to do."""


def be(database: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Be the only server on an SQLite database, from now until this process and those that it forks have ended.

    A server that is stopping, or the workers of one that was killed, may take a while to end: they are waited for.
    Commands (``manage.py``) go on working beside the server.

    Parameters
    ----------
    database
        The database's file. The lock is a file beside it, so that it is found from wherever the volume is mounted.
    seconds
        How long to wait.
    say
        Told, once, that there is somebody to be waited for.

    Raises
    ------
    Taken
        If it still is another's then.
    OSError
        If there can be no such file.
    """
    descriptor = os.open(database.with_suffix(".serving"), os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + seconds
    waits = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            other = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "one that doesn't say who it is"
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise Taken(
                    f"another server ({other}) serves the SQLite database {database}, which takes one at a time: run one "
                    "replica, or set TAILRACE_DATABASE_URL to a PostgreSQL database, which takes any number"
                ) from None
            if not waits:
                say(f"another server ({other}) serves {database}: waiting up to {seconds:g} s for it to end")
                waits = True
        time.sleep(PAUSE)
    with contextlib.suppress(OSError):  # a full volume: then nobody is told who it is
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    os.set_inheritable(descriptor, True)
    _held.append(descriptor)


def keep_servers_off() -> None:
    """For a command that changes much: no server may have the SQLite database until this process ends.

    PostgreSQL lets any number use it: whoever runs the command stops them.

    Raises
    ------
    Taken
        If a server has it.
    """
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or "memory" in name:
        return
    try:
        be(Path(name), 0, lambda line: None)
    except Taken as exc:
        raise Taken(f"a server serves the SQLite database {name}: stop it first") from exc
