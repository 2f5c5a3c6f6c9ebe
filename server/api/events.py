"""Server-sent events for both APIs: an endless answer that follows the log.

What is told comes from the database (:mod:`server.api.event_log`), not from this process, and is sent as fast as the
client reads: a slow one lags behind and loses nothing that is still in the log.
"""

import logging
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, StreamingHttpResponse

from server.accounts import limits
from server.accounts.identity import Identity
from server.api import caller
from server.api.errors import request_id
from server.api.event_log import Position, Reader, Row, now
from server.stopping import STOPPING
from server.streams.codec import dumps
from server.streams.errors import TooMany, Unavailable
from server.streams.locks import give_up
from server.streams.models import Stream

logger = logging.getLogger(__name__)

POLL = 0.25
"""Seconds between two looks at the database when nothing comes."""

HEARTBEAT = 15.0
"""Seconds after which something is sent in any case, so that a client that has gone is noticed."""

COMMENT = b":\n\n"

Tell = Callable[[Row], Iterator[bytes]]


def message(position: str, data: Any, event: str | None = None) -> bytes:
    """One event as it goes over the wire; ``data`` is JSON in one line."""
    name = b"" if event is None else b"event: " + event.encode() + b"\n"
    return name + b"data: " + dumps(data) + b"\nid: " + position.encode() + b"\n\n"


def begin(request: HttpRequest) -> Position:
    """Where the client wants to go on: after its ``Last-Event-ID``, or from now on.

    Raises
    ------
    Invalid
        If the header isn't the id of an event.
    """
    last = request.headers.get("Last-Event-ID")
    return now() if last is None else Position.parse(last.strip())


def respond(request: HttpRequest, reader: Reader, tell: Tell, heartbeat: bytes = COMMENT) -> StreamingHttpResponse:
    """Answer with events for as long as the client listens.

    Parameters
    ----------
    request
        For the log.
    reader
        What to tell, from where on.
    tell
        Turns a row into events.
    heartbeat
        What to send while nothing happens.

    Raises
    ------
    Unavailable
        If this process has as many event streams as it may (each keeps a thread).
    TooMany
        If the caller has as many in this process as one may.
    """
    if caller.only_streams(request) is not None:
        tell = _Only(request, tell)
    slot = _slots.take(caller.identity(request))
    stream = EventStream(reader, tell, heartbeat, slot, request_id(request), request.META.get("gunicorn.socket"))
    stream.admission = caller.Admission(request)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(stream, content_type="text/event-stream", headers=headers)


class _Only:
    """Tells of the streams alone that the caller's token works for."""

    def __init__(self, request: HttpRequest, tell: Tell) -> None:
        self._request, self._tell = request, tell
        self._reached: dict[int, bool] = {}

    def __call__(self, row: Row) -> Iterator[bytes]:
        if row.stream_id not in self._reached:
            name = Stream.objects.values_list("name", flat=True).filter(pk=row.stream_id).first()
            self._reached[row.stream_id] = name is not None and caller.reaches(self._request, name)
        return self._tell(row) if self._reached[row.stream_id] else iter(())


class _Slots:
    """How many event streams this process has, and each caller in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0
        self._by_caller: Counter[int | None] = Counter()

    def take(self, who: Identity | None) -> int | None:
        """Take a place for a caller; what :meth:`give` wants back."""
        limit, own_limit = settings.TAILRACE.event_stream_limit, settings.TAILRACE.event_streams_per_caller
        slot = None if who is None else limits.key(who)
        with self._lock:
            if slot is not None and self._by_caller[slot] >= own_limit:
                raise TooMany(
                    f"this token or person has {own_limit} event streams here, as many as "
                    "TAILRACE_EVENT_STREAMS_PER_CALLER allows: close one first",
                    retry_after=5,
                )
            if self.taken >= limit:
                raise Unavailable(
                    f"this process already serves {self.taken} event streams, as many as TAILRACE_EVENT_STREAMS allows: "
                    "close one or try again",
                    retry_after=5,
                )
            self.taken += 1
            self._by_caller[slot] += 1
        return slot

    def give(self, slot: int | None) -> None:
        with self._lock:
            self.taken -= 1
            self._by_caller[slot] -= 1
            if not self._by_caller[slot]:
                del self._by_caller[slot]


_slots = _Slots()


class EventStream:
    """The body of one such answer. The server closes it when the client has gone.

    gunicorn notices that only when it sends, so the connection is looked at, where it is at hand; otherwise a
    client is missed when a heartbeat can't be sent.
    """

    def __init__(
        self,
        reader: Reader,
        tell: Tell,
        heartbeat: bytes,
        slot: int | None,
        name: str,
        client: socket.socket | None = None,
    ) -> None:
        self._reader = reader
        self._slot = slot
        self._client = client
        self._tell = tell
        self._heartbeat = heartbeat
        self._name = name
        self._chunks = self._follow()
        self._open = True
        self.admission: caller.Admission | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Give the place free; also if nothing was ever sent."""
        if self._open:
            self._open = False
            self._chunks.close()
            _slots.give(self._slot)
            if not connection.in_atomic_block:
                connection.close()

    def _follow(self) -> Generator[bytes]:
        yield self._heartbeat  # sends the headers: the client knows that from now on it misses nothing
        sent = time.monotonic()
        while not STOPPING.is_set() and not _has_gone(self._client) and self._may_go_on(if_unknown=True):
            idle = True
            for chunk in self._look():
                idle = False
                if chunk:
                    # It was read before this: what came after a revocation isn't in it.
                    if not self._may_go_on(if_unknown=False):
                        break
                    yield chunk
                    sent = time.monotonic()
            if time.monotonic() - sent >= HEARTBEAT:
                yield self._heartbeat
                sent = time.monotonic()
            if idle:
                STOPPING.wait(POLL)

    def _may_go_on(self, *, if_unknown: bool) -> bool:
        """Whether whoever listens may still: a revoked token hears nothing more. While the database is away, nobody knows."""
        try:
            return self.admission is None or self.admission.holds()
        except (DatabaseError, InterfaceError) as exc:
            give_up(exc)
            return if_unknown

    def _look(self) -> Iterator[bytes]:
        """The events of each row that came since; nothing while the database is away."""
        try:
            for row in self._reader.read():
                yield b"".join(self._tell(row))
        except (DatabaseError, InterfaceError) as exc:
            logger.warning("events wait for the database: %s (request %s)", str(exc).strip(), self._name)
            give_up(exc)


def _has_gone(client: socket.socket | None) -> bool:
    """Whether the other side has closed the connection."""
    if client is None:
        return False
    poll = select.poll()
    poll.register(client, getattr(select, "POLLRDHUP", select.POLLHUP))
    return bool(poll.poll(0))
