"""Observations whose process was killed while it sent them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailrace.pending import spooled_name

if TYPE_CHECKING:
    from tailrace.spool import Spool

__all__ = ["ABANDONED", "adopt"]

ABANDONED = 600.0
"""Seconds after which an observation that another machine was sending counts as left behind."""


def adopt(spool: Spool) -> None:
    """Let what was left behind wait with the others. Whether it had arrived doesn't matter: its key makes it count once."""
    try:
        left = [name for name in os.listdir(spool.place) if name.startswith(".") and name.endswith(".part")]
    except OSError:
        return  # whoever reads what waits will say so
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
            continue  # it has arrived, or another flush was faster
        except OSError:
            return  # a directory that can't be changed: nothing that could be delivered is lost by that


def _is_dead(name: str) -> bool:
    """Whether the process that wrote the file ran on this machine, and runs no more."""
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
    """The time by the file system's own clock, which all nodes share."""
    path = os.path.join(place, f".{os.urandom(8).hex()}.clock")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        os.unlink(path)
