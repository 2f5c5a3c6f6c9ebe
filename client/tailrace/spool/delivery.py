"""Delivery of a spool: each stream in order, many observations per request. Each counts exactly once."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.errors import Refused, SpoolError, Unusable
from tailrace.spool.orphans import adopt
from tailrace.transport.endpoint import address_of
from tailrace.transport.observation_requests import (
    BYTES_PER_REQUEST,
    PER_REQUEST,
    TOO_SLOW,
    check_stream,
    post_observations,
    receipt_warning,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tailrace.spool.directory import SpoolDirectory
    from tailrace.transport.server import Server

__all__ = ["Delivery", "elsewhere", "flush"]

BYTES_AT_ONCE = 64 * 2**20
LARGEST_FILE = 64 * 2**20
"""Bytes. An observation is far smaller, so a larger file is something else."""

AGE_HEADER = "X-Tailrace-Spooled"
"""Header with the seconds that a request's oldest observation has waited in the spool. The server counts late ones."""

STREAM_STATUSES = (403, 404)
"""Statuses that concern one stream only: other streams can still be delivered."""


class Delivery(NamedTuple):
    """Result for one spooled observation.

    Attributes
    ----------
    path
        Its file: the one in the spool, which is deleted, or the one in ``refused/``.
    refused
        Why the observation was moved to ``refused/``. None if it was delivered.
    warning
        What the server warns of: the stream that the observation created, or an observation unlike the earlier ones. A flush
        tells each once.
    """

    path: Path
    refused: str | None = None
    warning: str | None = None


class _Waiting(NamedTuple):
    path: str
    observation: dict[str, Any]
    size: int
    since: float
    address: str


class _InvalidFile(Exception):
    """A file does not contain an observation. The argument is its path."""


class _Undeliverable(Exception):
    """A file that cannot be delivered and stays where it is. The message says why, and what to do."""


def elsewhere(spool: SpoolDirectory, server: Server, moved: Collection[str]) -> dict[str, int]:
    """See `Spool.elsewhere`."""
    here = {"", server.address, *moved}
    counts: dict[str, int] = {}
    for name in spool.names():
        try:
            address = _read(os.path.join(spool.place, name))[1].address
        except (_InvalidFile, _Undeliverable, OSError):
            continue  # a flush reports it
        if address not in here:
            counts[address] = counts.get(address, 0) + 1
    return counts


def flush(spool: SpoolDirectory, server: Server, ends: float, moved: Collection[str] = ()) -> Iterator[Delivery]:
    """See `Spool.flush`."""
    adopt(spool)
    here = {"", server.address, *moved}
    held: dict[str, Refused] = {}
    told: dict[str, set[tuple[str, str]]] = {}
    unread: list[tuple[str, str, int]] = []
    gathered: dict[str, list[_Waiting]] = {}
    size = 0
    for name in spool.names():
        if time.monotonic() >= ends:
            return
        path = os.path.join(spool.place, name)
        try:
            stream, one = _read(path)
        except FileNotFoundError:
            continue  # another flush was faster
        except _InvalidFile:
            reason = "the file is not a whole observation: was it cut short?"
            yield Delivery(spool.set_aside(path, reason), reason)
            continue
        except OSError as error:
            unread.append((path, f"it can't be read: {error.strerror}", error.errno or 0))
            continue  # it belongs to another user, or is not a file; the others can be delivered
        except _Undeliverable as error:
            unread.append((path, str(error), errno.EINVAL))
            continue
        if one.address not in here:
            continue
        try:
            check_stream(stream)
        except Unusable as error:  # an earlier release kept it
            reason = f"{error}; correct it there, and move the file back into the spool"
            yield Delivery(spool.set_aside(path, reason), reason)
            continue
        batch = gathered.setdefault(stream, [])
        batch.append(one)
        size += one.size
        if len(batch) >= PER_REQUEST or sum(map(_size, batch)) >= BYTES_PER_REQUEST:
            yield from _unless_held(spool, server, stream, gathered.pop(stream), ends, held, told)
            size -= sum(map(_size, batch))
        elif size >= BYTES_AT_ONCE:
            yield from _all(spool, server, gathered, ends, held, told)
            gathered, size = {}, 0
    yield from _all(spool, server, gathered, ends, held, told)
    if held:
        trouble = next(iter(held.values()))
        if unread:
            trouble.args = ("; ".join([str(trouble), *(f"{path}: {reason}" for path, reason, _ in unread)]),)
        raise trouble
    if unread:
        (path, reason, number), *others = unread
        reason = "; ".join([*(f"{other}: {why}" for other, why, _ in others), reason])
        raise SpoolError(number, reason, path)


def _size(one: _Waiting) -> int:
    return one.size


def _all(
    spool: SpoolDirectory,
    server: Server,
    gathered: dict[str, list[_Waiting]],
    ends: float,
    held: dict[str, Refused],
    told: dict[str, set[tuple[str, str]]],
) -> Iterator[Delivery]:
    for stream, batch in gathered.items():
        yield from _unless_held(spool, server, stream, batch, ends, held, told)


def _unless_held(
    spool: SpoolDirectory,
    server: Server,
    stream: str,
    batch: list[_Waiting],
    ends: float,
    held: dict[str, Refused],
    told: dict[str, set[tuple[str, str]]],
) -> Iterator[Delivery]:
    """Deliver a batch, unless `held` contains its stream. If the server refuses the stream, add it to `held`."""
    if stream in held:
        return
    try:
        yield from _deliver(spool, server, stream, batch, ends, told.setdefault(stream, set()))
    except Refused as error:
        if error.status not in STREAM_STATUSES:
            raise
        held[stream] = error


def _deliver(
    spool: SpoolDirectory,
    server: Server,
    stream: str,
    batch: list[_Waiting],
    ends: float,
    told: set[tuple[str, str]],
) -> Iterator[Delivery]:
    parts = [batch]
    while parts and (left := ends - time.monotonic()) > 0:
        part = parts.pop(0)
        body = {"observations": [one.observation for one in part]} if len(part) > 1 else part[0].observation
        headers = {AGE_HEADER: str(max(0, int(time.time() - min(one.since for one in part))))}
        try:
            answer = post_observations(server, stream, body, deadline=left, headers=headers)
        except Refused as error:
            if len(part) > 1 and (error.for_good or error.code == TOO_SLOW):
                parts[:0] = split(part, error.field)
            elif not error.for_good:
                raise
            else:
                yield Delivery(spool.set_aside(part[0].path, str(error)), str(error))
            continue
        warning = receipt_warning(answer, told)
        for one in part:
            _remove(one.path)
            yield Delivery(Path(one.path), warning=warning)
            warning = None


def _read(path: str) -> tuple[str, _Waiting]:
    data, since = _content(path)
    try:
        content = json.loads(data, parse_constant=_finite, parse_float=_finite)
        stream, observation, address = content["stream"], content["observation"], content.get("server") or ""
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _InvalidFile(path) from None
    known = isinstance(stream, str) and isinstance(observation, dict) and isinstance(address, str)
    if not (known and observation.get("key")):
        raise _InvalidFile(path)
    return stream, _Waiting(path, observation, len(data), since, address and address_of(address))


def _content(path: str) -> tuple[bytes, float]:
    """Returns the bytes of a file, and when it was written. Does not wait for a pipe, and does not read a device.

    Raises
    ------
    OSError
        If the file cannot be opened.
    _Undeliverable
        If it is not a regular file, or too large for an observation.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | getattr(os, "O_CLOEXEC", 0))
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _Undeliverable("it can't be read: it is not a regular file: move it out of the spool")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(LARGEST_FILE + 1)
    finally:
        os.close(descriptor)
    if len(data) > LARGEST_FILE:
        raise _Undeliverable(
            f"it has more than {LARGEST_FILE >> 20} MB, which is too large for an observation: move it out of the spool"
        )
    return data, found.st_mtime


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Undeliverable(
            f"it holds the number {text:.40}, which can't be sent: correct it there, or delete the file"
        )
    return number


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # another flush was faster
    except OSError as error:
        raise SpoolError(error.errno or 0, f"delivered, but it can't be removed: {error.strerror}", path) from None
