"""How a spool is delivered: each stream in order, many observations a request, each exactly once."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tailrace.errors import Refused, SpoolError, Unreachable
from tailrace.leftovers import adopt
from tailrace.posting import warning_in
from tailrace.server import address_of, observations_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tailrace.server import Server
    from tailrace.spool import Spool

__all__ = ["BYTES_PER_REQUEST", "PER_REQUEST", "TOO_SLOW", "Delivery", "apart", "elsewhere", "flush"]

One = TypeVar("One")

PER_REQUEST = 500
"""Observations in one request."""

BYTES_PER_REQUEST = 4 * 2**20
BYTES_AT_ONCE = 64 * 2**20
LATE = "X-Tailrace-Spooled"
"""Header that tells the server, which counts it, how many seconds the oldest observation of a request waited here."""

TOO_SLOW = "too_slow"
"""Code by which a server refuses a request whose points take a model too long together."""

OF_ONE_STREAM = (403, 404)
"""Statuses by which a server refuses a stream and says nothing of the others."""


class Delivery(NamedTuple):
    """What became of one spooled observation: delivered, perhaps with a warning of the server's, or set aside for a reason."""

    path: Path
    refused: str | None = None
    warning: str | None = None


class _Waiting(NamedTuple):
    path: str
    observation: dict[str, Any]
    size: int
    since: float
    address: str


class _Spoiled(Exception):
    """A file that is no observation; its path."""


def elsewhere(spool: Spool, server: Server, moved: Collection[str]) -> dict[str, int]:
    """See `Spool.elsewhere`."""
    here = {"", server.address, *moved}
    counts: dict[str, int] = {}
    for name in spool.names():
        try:
            address = _read(os.path.join(spool.place, name))[1].address
        except (_Spoiled, OSError):
            continue  # a flush tells of it
        if address not in here:
            counts[address] = counts.get(address, 0) + 1
    return counts


def flush(spool: Spool, server: Server, ends: float, moved: Collection[str] = ()) -> Iterator[Delivery]:
    """See `Spool.flush`."""
    adopt(spool)
    here = {"", server.address, *moved}
    held: dict[str, Refused] = {}
    unread: list[SpoolError] = []
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
        except _Spoiled:
            reason = "the file is not a whole observation: was it cut short?"
            yield Delivery(spool.set_aside(path, reason), reason)
            continue
        except OSError as error:
            unread.append(SpoolError(error.errno or 0, f"it can't be read: {error.strerror}", path))
            continue  # somebody else's, or no file at all: the others can be delivered
        if one.address not in here:
            continue
        batch = gathered.setdefault(stream, [])
        batch.append(one)
        size += one.size
        if len(batch) >= PER_REQUEST or sum(map(_size, batch)) >= BYTES_PER_REQUEST:
            yield from _unless_held(spool, server, stream, gathered.pop(stream), ends, held)
            size -= sum(map(_size, batch))
        elif size >= BYTES_AT_ONCE:
            yield from _all(spool, server, gathered, ends, held)
            gathered, size = {}, 0
    yield from _all(spool, server, gathered, ends, held)
    for trouble in (*held.values(), *unread):
        raise trouble


def _size(one: _Waiting) -> int:
    return one.size


def _all(
    spool: Spool, server: Server, gathered: dict[str, list[_Waiting]], ends: float, held: dict[str, Refused]
) -> Iterator[Delivery]:
    for stream, batch in gathered.items():
        yield from _unless_held(spool, server, stream, batch, ends, held)


def _unless_held(
    spool: Spool, server: Server, stream: str, batch: list[_Waiting], ends: float, held: dict[str, Refused]
) -> Iterator[Delivery]:
    """Deliver, unless the stream has been refused before; note it if it is now."""
    if stream in held:
        return
    try:
        yield from _deliver(spool, server, stream, batch, ends)
    except Refused as error:
        if error.status not in OF_ONE_STREAM:
            raise
        held[stream] = error


def _deliver(spool: Spool, server: Server, stream: str, batch: list[_Waiting], ends: float) -> Iterator[Delivery]:
    parts = [batch]
    while parts and (left := ends - time.monotonic()) > 0:
        part = parts.pop(0)
        body = {"observations": [one.observation for one in part]} if len(part) > 1 else part[0].observation
        headers = {LATE: str(max(0, int(time.time() - min(one.since for one in part))))}
        try:
            answer = server.request("POST", observations_path(stream), body, deadline=left, headers=headers)
        except Refused as error:
            if len(part) > 1 and (error.for_good or error.code == TOO_SLOW):
                parts[:0] = apart(part, error.field)
            elif not error.for_good:
                raise
            else:
                yield Delivery(spool.set_aside(part[0].path, str(error)), str(error))
            continue
        if not isinstance(answer, dict) or "last" not in answer:
            raise Unreachable(f"{server.url}: it answered {answer!r:.100}: is this a Tailrace server?")
        warning = warning_in(answer)
        for one in part:
            _remove(one.path)
            yield Delivery(Path(one.path), warning=warning)
            warning = None


def apart(part: list[One], field: str | None) -> list[list[One]]:
    """A refused request as smaller ones, in order: around the observation that the server names, or by halves."""
    named = re.match(r"observations\[(\d+)\]", field or "")
    at = int(named[1]) if named else -1
    cuts = (at, at + 1) if 0 <= at < len(part) else (len(part) // 2,)
    pieces = [part[start:end] for start, end in zip((0, *cuts), (*cuts, len(part)))]  # noqa: B905 - Python 3.9
    return [piece for piece in pieces if piece]


def _read(path: str) -> tuple[str, _Waiting]:
    with open(path, "rb") as file:
        data = file.read()
        since = os.fstat(file.fileno()).st_mtime
    try:
        content = json.loads(data)
        stream, observation, address = content["stream"], content["observation"], content.get("server") or ""
    except (ValueError, KeyError, TypeError):
        raise _Spoiled(path) from None
    known = isinstance(stream, str) and isinstance(observation, dict) and isinstance(address, str)
    if not (known and observation.get("key")):
        raise _Spoiled(path)
    return stream, _Waiting(path, observation, len(data), since, address and address_of(address))


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # another flush was faster
    except OSError as error:
        raise SpoolError(error.errno or 0, f"delivered, but it can't be removed: {error.strerror}", path) from None
