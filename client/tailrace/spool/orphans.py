"""Orphans: files of observations whose process was killed while it posted them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailrace.spool.directory import spooled_name

if TYPE_CHECKING:
    from tailrace.spool.directory import SpoolDirectory

__all__ = ["ABANDONED", "adopt"]

ABANDONED = 600.0
"""Seconds after which an observation that another machine was posting counts as an orphan."""


def adopt(spool: SpoolDirectory) -> None:
    """Rename orphans, so that they are delivered with the other files.

    The server may already have an orphan. Its key makes it count once.
    """
    try:
        left = [name for name in os.listdir(spool.place) if name.startswith(".") and name.endswith(".part")]
    except OSError:
        return  # reading the names of the waiting files raises this error, too
    now = None
    for name in left:
        path = os.path.join(spool.place, name)
        try:
            found = os.stat(path)
            if not _is_dead(name):
                now = _now(spool.place) if now is None else now
                if now - found.st_mtime < ABANDONED:
                    continue
            digest = name[1:].partition(".")[0]
            os.rename(path, os.path.join(spool.place, spooled_name(found.st_mtime_ns, found.st_size, digest)))
        except FileNotFoundError:
            continue  # it was delivered, or another flush was faster
        except OSError:
            return  # the directory cannot be changed; the other files can still be delivered


def _is_dead(name: str) -> bool:
    """Whether the process that wrote the file ran on this machine and has ended."""
    host, _, process = name[1 : -len(".part")].rpartition(".")[0].rpartition(".")
    if host.partition(".")[2] != os.uname().nodename or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _now(place: str) -> float:
    """Returns the time of the file system's clock, which all nodes share."""
    path = os.path.join(place, f".{os.urandom(8).hex()}.clock")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        os.unlink(path)
