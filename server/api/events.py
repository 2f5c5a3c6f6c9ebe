"""Server-sent events of both APIs: a response without an end that follows the log.

The events come from the database (:mod:`server.learning.event_log`), not from this process, and are sent as fast as the client
reads. A slow client lags behind, but misses nothing that is still in the log.
"""

import logging
import select
import socket
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, StreamingHttpResponse

from server.api import caller
from server.api.errors import request_id
from server.api.ready_events import ReadyEvents, turn
from server.api.response_slots import Slot
from server.core.db.locks import to_unavailable
from server.core.json_codec import dumps
from server.core.slots import Slots
from server.core.stopping import STOPPING
from server.learning.event_log import Position, Reader, Row, now
from server.streams.models import Stream

logger = logging.getLogger(__name__)

POLL = 0.25
"""Seconds between two queries when nothing new is found."""

HEARTBEAT = 15.0
"""Seconds after which something is sent in any case, so that a closed connection is noticed."""

COMMENT = b":\n\n"

Tell = Callable[[Row], Iterator[bytes]]


def message(position: str, data: Any, event: str | None = None) -> bytes:
    """Return one event as it is sent; ``data`` becomes JSON in one line."""
    name = b"" if event is None else b"event: " + event.encode() + b"\n"
    return name + b"data: " + dumps(data) + b"\nid: " + position.encode() + b"\n\n"


def begin(request: HttpRequest) -> Position:
    """Return where the client wants to continue: after its ``Last-Event-ID``, or now.

    Raises
    ------
    Invalid
        If the header isn't the id of an event.
    """
    last = request.headers.get("Last-Event-ID")
    return now() if last is None else Position.parse(last.strip())


def respond(
    request: HttpRequest, reader: Reader, tell: Tell, heartbeat: bytes = COMMENT, *, is_slow: bool = False
) -> StreamingHttpResponse:
    """Return a response that sends events until the client closes the connection.

    Parameters
    ----------
    request
        For the log.
    reader
        Reads the rows to send.
    tell
        Converts a row to events.
    heartbeat
        Sent while there are no events.
    is_slow
        Whether ``tell`` may take long, as it calls models. Other streams don't wait for it then.

    Raises
    ------
    Unavailable
        If this process has as many event streams as allowed (each occupies a thread).
    TooMany
        If the caller has as many in this process as allowed.
    """
    if caller.only_streams(request) is not None:
        tell = _Only(request, tell)
    slot = Slot(SLOTS, caller.identity(request))
    slot.take()
    stream = EventStream(reader, tell, heartbeat, slot, request_id(request), request.META.get("gunicorn.socket"))
    stream.is_slow = is_slow
    stream.admission = caller.Admission(request)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(stream, content_type="text/event-stream", headers=headers)


class _Only:
    """Leaves out streams that the caller's token doesn't work for."""

    def __init__(self, request: HttpRequest, tell: Tell) -> None:
        self._request, self._tell = request, tell
        self._reached: dict[int, bool] = {}

    def __call__(self, row: Row) -> Iterator[bytes]:
        if row.stream_id not in self._reached:
            name = Stream.objects.values_list("name", flat=True).filter(pk=row.stream_id).first()
            self._reached[row.stream_id] = name is not None and caller.reaches(self._request, name)
        return self._tell(row) if self._reached[row.stream_id] else iter(())


SLOTS = Slots(
    lambda: (settings.TAILRACE.event_stream_limit, settings.TAILRACE.event_streams_per_caller),
    process_full="this process already serves {limit} event streams, as many as TAILRACE_EVENT_STREAMS allows: "
    "close one or try again",
    caller_full="this token or person has {limit} event streams here, as many as "
    "TAILRACE_EVENT_STREAMS_PER_CALLER allows: close one first",
    retry_after=5,
)


class EventStream:
    """The body of an event stream. The web server closes it when the connection is closed.

    gunicorn notices a closed connection only when it sends something, so this class checks the connection itself if it can.
    Otherwise the next heartbeat fails.
    """

    def __init__(
        self,
        reader: Reader,
        tell: Tell,
        heartbeat: bytes,
        slot: Slot,
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
        self.is_slow = False

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Release the slot, also if nothing was sent."""
        if self._open:
            self._open = False
            self._chunks.close()
            self._slot.release()
            if not connection.in_atomic_block:
                connection.close()

    def _follow(self) -> Generator[bytes]:
        yield self._heartbeat  # sends the headers, so that the client knows that it misses no event from now on
        sent = time.monotonic()
        while not STOPPING.is_set() and not _has_gone(self._client) and self._may_go_on(if_unknown=True):
            idle = True
            for ready in self._look():
                idle = False
                if ready:
                    # It was read before this check, so it contains nothing from after a revocation.
                    if not self._may_go_on(if_unknown=False):
                        ready.close()
                        break
                    yield from ready.pieces()
                    sent = time.monotonic()
            if time.monotonic() - sent >= HEARTBEAT:
                yield self._heartbeat
                sent = time.monotonic()
            if idle:
                STOPPING.wait(POLL)

    def _may_go_on(self, *, if_unknown: bool) -> bool:
        """Whether the caller still has access. While the database is unavailable, return ``if_unknown``."""
        try:
            return self.admission is None or self.admission.holds()
        except (DatabaseError, InterfaceError) as exc:
            to_unavailable(exc)
            return if_unknown

    def _look(self) -> Iterator[ReadyEvents]:
        """Yield the events of each new row; nothing while the database is unavailable, or the disk is full."""
        rows = self._reader.read()
        try:
            while (ready := self._next(rows)) is not None:
                yield ready
        except (DatabaseError, InterfaceError) as exc:
            logger.warning("events wait for the database: %s (request %s)", str(exc).strip(), self._name)
            to_unavailable(exc)
        except OSError as exc:
            logger.warning("events wait for space on the disk: %s (request %s)", exc, self._name)

    def _next(self, rows: Iterator[Row]) -> ReadyEvents | None:
        """Return the events of the next row, and hold nothing of the row itself."""
        with turn():
            row = next(rows, None)
            if row is None:
                return None
            events = self._tell(row)
            del row
            if not self.is_slow:
                return ReadyEvents(events)
        return ReadyEvents(events)


def _has_gone(client: socket.socket | None) -> bool:
    """Whether the other side has closed the connection."""
    if client is None:
        return False
    poll = select.poll()
    poll.register(client, getattr(select, "POLLRDHUP", select.POLLHUP))
    return bool(poll.poll(0))
