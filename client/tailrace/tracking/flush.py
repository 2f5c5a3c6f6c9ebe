"""Sends what runs left in the spool: after a crash, from any node."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from tailrace.errors import Forbidden, TailraceError, Unauthorized, Unreachable
from tailrace.tracking.backends import Backend
from tailrace.tracking.delivery import Delivery, DiskFile
from tailrace.tracking.spool_directory import SpooledFile, is_sent, read_header, remove_if_sent, spooled_files

__all__ = ["Flushed", "flush_runs"]

UNFINISHED_SECONDS = 600.0
"""Age after which a file without a first line, or with a damaged one, is set aside."""


@dataclass
class Flushed:
    """What a flush did.

    Attributes
    ----------
    sent, refused
        Lines that back ends took, and things that they refused for good.
    files, left
        Files that were found, and those that still wait.
    busy
        Those of them that living processes write or send.
    reasons
        Why things were refused, and by whom.
    troubles
        Why something could not be sent now, by the back end's address.
    """

    sent: int = 0
    refused: int = 0
    files: int = 0
    left: int = 0
    busy: int = 0
    reasons: list[str] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)


def flush_runs(
    place: str, deadline: float, *, run: str | None = None, moved: Collection[str] = (), address: str = ""
) -> Flushed:
    """Send the lines of runs whose processes have ended.

    Each line arrives once, also if several flushes run at the same time.

    Parameters
    ----------
    place
        The spool of runs.
    deadline
        Seconds for all of it.
    run
        Send this run alone. None: all.
    moved
        Addresses of Tailrace servers whose lines are sent to `address` instead.
    address
        The server that took their place.

    Raises
    ------
    SpoolError
        If the directory cannot be read.
    """
    ends = time.monotonic() + deadline
    done = Flushed()
    for path in spooled_files(place):
        if run is not None and os.path.basename(os.path.dirname(path)) != run:
            continue
        try:
            found = read_header(path)
            if found is None:
                if not _set_aside(path):
                    done.left += 1
                    done.busy += 1
                continue
        except OSError:
            continue  # another flush was faster
        done.files += 1
        held = _flush_file(found, ends, done, moved, address)
        if os.path.exists(path) and not remove_if_sent(found):
            done.left += 1
            done.busy += held or bool(found.writer())
    return done


def _flush_file(found: SpooledFile, ends: float, done: Flushed, moved: Collection[str], address: str) -> bool:
    """Send a file to its back ends. Returns whether another process sends it to one of them."""
    held = False
    for backend in found.backends:
        target = backend
        if backend.kind == "tailrace" and backend.address in moved and address:
            target = replace(backend, address=address)
        if target.address in done.troubles or time.monotonic() >= ends:
            continue
        claim = found.claim_of(backend)
        try:
            if is_sent(replace(found, backends=[backend])):
                continue
            if not claim.take():
                held = True
                continue
        except OSError as error:
            done.troubles[target.address] = f"{claim.path} can't be written: {error.strerror or error}"
            continue
        try:
            _flush_to(found, backend, target, ends, done)
        finally:
            claim.give_up()
    return held


def _flush_to(found: SpooledFile, backend: Backend, target: Backend, ends: float, done: Flushed) -> None:
    path = found.cursor_path(backend)
    delivery = Delivery(DiskFile(found.path), found.header, found.header_size, target, path, fresh=False)
    before_sent, before_refused = delivery.cursor.sent, delivery.cursor.refused
    try:
        while time.monotonic() < ends:
            if not delivery.step():
                if not found.writer():
                    delivery.finish()
                break
    except (Unreachable, Unauthorized, Forbidden) as error:
        done.troubles[target.address] = str(error)
    except TailraceError as error:
        done.troubles.setdefault(f"run {found.header['uid']}", f"{target.kind}: {error}")
    finally:
        done.sent += delivery.cursor.sent - before_sent
        if refused := delivery.cursor.refused - before_refused:
            done.refused += refused
            where = f"run {found.header['uid']}, {target.kind}"
            done.reasons += [f"{where}: {one}" for one in delivery.cursor.reasons[-refused:]]


def _set_aside(path: str) -> bool:
    """Rename a file that has no whole first line, unless its process may be writing it. Returns whether it was renamed."""
    try:
        if time.time() - os.path.getmtime(path) < UNFINISHED_SECONDS:
            return False
        os.rename(path, f"{path}.damaged")
    except OSError:
        pass
    return True
