"""A client's connection in gunicorn's worker: the received part of its request and the unsent part of its response.

Calls don't block, except to read a large body or to send a large response. Then the client's speed is measured
(:class:`Pace`).
"""

import errno
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders

from server.runtime.gunicorn_refusals import MOST_HEAD

FIRST_CHUNK = 2**13
CHUNK = 2**16
MOST_KEPT = 2**18
"""Bytes of a body that are received without a thread. A thread reads the rest of a larger body."""

MOST_UNSENT = 2**20
"""Bytes of a response of known length that may be left to send without a thread."""

SLOWEST = 2**14
"""Least speed of a client while a thread waits for it, bytes per second."""

GRACE = 2.0
"""Seconds that a thread waits for a slower client if other requests need a thread."""

_recv, _send, _AT_ONCE = socket.socket.recv, socket.socket.send, int(socket.MSG_DONTWAIT)

MOST_LINE = 2**13
"""Largest first line of a request, bytes."""


def _field(head: bytes | bytearray, name: bytes) -> bytes:
    """Return a header's value from headers in lower case. It isn't validated: gunicorn's parser does that later."""
    start = head.find(b"\r\n%s:" % name)
    if start < 0:
        return b""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return bytes(head[start : end if end >= 0 else len(head)]).strip(b" \t")


class Gone(ConnectionResetError):
    """The client closed the connection, or reads the response too slowly. The worker logs it; gunicorn ignores it."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ECONNRESET, message)


class Pace:
    """Measures how fast a client is while a thread waits for it.

    Parameters
    ----------
    patience
        Seconds of waiting after which a client that was slower than :data:`SLOWEST` is too slow.
    others_wait
        Whether other requests wait for a thread. If so, such a client is too slow after :data:`GRACE`.
    """

    def __init__(self, patience: float, others_wait: Callable[[], object]) -> None:
        self._patience = patience
        self._others_wait = others_wait
        self._waited = self._moved = 0.0
        self._waited_since = self._moved_since = 0.0

    def is_too_slow(self, waited: float, moved: int) -> bool:
        """Add seconds of waiting and bytes received or sent. Return whether the client is too slow."""
        self._waited += waited
        self._moved += moved
        self._waited_since += waited
        self._moved_since += moved
        if self._waited >= self._patience:
            if self._moved < SLOWEST * self._patience:
                return True
            self._waited = self._moved = 0.0
        if self._waited_since >= GRACE:
            if self._moved_since < SLOWEST * GRACE and self._others_wait():
                return True
            self._waited_since = self._moved_since = 0.0
        return False


class Connection(socket.socket):
    """One client's connection.

    It receives a request without blocking (:meth:`is_ready`), so that a thread gets the request when it is complete. It
    sends the headers of a response together with the first part of the body. Gunicorn sends them separately, but each
    call releases the interpreter lock and wakes the client.
    """

    patience = 60.0
    """Longest time to receive a request, and to send a response, s."""

    others_wait: Callable[[], object] = bool
    """Whether other requests wait for a thread."""

    deadline = float("inf")
    """When the request must be complete, by :func:`time.monotonic`."""

    has_head = False
    """Whether the headers are read, so that the application can respond to later errors."""

    has_ended = False
    """Whether the client sends no more data."""

    failure: str | None = None
    """Why the last response couldn't be sent."""

    keeps = True
    """Whether the connection stays open after the response is sent."""

    force_close: Callable[[], None]
    """Closes the connection after the current response. Gunicorn ignores a ``Connection`` header of the application."""

    most_body = 2**63
    """Largest body that the application accepts, bytes. It refuses a larger one without reading it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unsent = b""
        self._came = bytearray()  # received, and not yet returned by recv()
        self._searched = 0  # bytes in which the end of the headers was searched for
        self._whole = 0  # bytes of the complete request; 0 until its headers are complete
        self._asked_to_continue = False
        self._at_hand = self._to_come = 0  # bytes of the current request: received; still to be received
        self._held = b""
        self._is_known_length = False
        self._closing = False

    @classmethod
    def of(cls, accepted: socket.socket) -> "Connection":
        """Return a connection that takes over the descriptor of an accepted socket."""
        return cls(accepted.family, accepted.type, accepted.proto, accepted.detach())

    def setblocking(self, flag: bool) -> None:
        """Do nothing: this connection never blocks, whatever gunicorn sets."""

    # Receiving

    @property
    def has_begun(self) -> bool:
        """Whether bytes of the next request are received."""
        return bool(self._came)

    @property
    def kept(self) -> int:
        """Number of bytes of the next request that are received."""
        return len(self._came)

    @property
    def first_bytes(self) -> bytes:
        """First bytes of the next request."""
        return bytes(self._came[:16])

    def is_ready(self) -> bool:
        """Receive what has arrived.

        Return whether a thread can serve a request, or handle the end of the connection.
        """
        if self.has_ended or (self._came and self._is_whole()):
            return True
        size = FIRST_CHUNK  # allocating a larger buffer takes longer
        while True:
            try:
                data = _recv(self, size, _AT_ONCE)
            except BlockingIOError:
                return False
            except OSError as exc:
                data = b""
                if exc.errno == errno.ETIMEDOUT:  # the kernel could not deliver the last response
                    self.failure = f"the client no longer responds ({exc.strerror})"
            if not data:
                self.has_ended = True
                return True
            if not self._came:
                self.deadline = time.monotonic() + self.patience
            self._came += data
            if self._is_whole():
                return True
            if len(data) < size:
                return False
            size = CHUNK

    def _is_whole(self) -> bool:
        came = self._came
        if not self._whole:
            end = came.find(b"\r\n\r\n", max(0, self._searched - 3))
            if end < 0:
                self._searched = len(came)
                # The headers are too large, or a line ends with LF alone: let a thread refuse the request now.
                return len(came) > MOST_HEAD or came.count(b"\n") != came.count(b"\r\n")
            if end > MOST_HEAD:
                return True
            length = _field(came[:end].lower(), b"content-length")
            self._whole = end + 4 + (int(length) if length.isdigit() and len(length) < 16 else 0)
            self._searched = end + 4
        missing = self._whole - len(came)
        if missing <= 0:
            return True
        if self._whole - self._searched > self.most_body or len(came) - self._searched >= MOST_KEPT:
            return True
        if not self._asked_to_continue:
            self._asked_to_continue = True
            head = came[: self._searched].lower()
            if _field(head, b"expect") == b"100-continue" and head.find(b" http/1.1\r\n", 0, MOST_LINE) > 0:
                self.try_to_send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return False

    def begin(self) -> bool:
        """Let :meth:`recv` read the next request. Return False if nothing of it is received."""
        if not self._came:
            return False
        if self._whole:
            self._at_hand = min(self._whole, len(self._came))
            self._to_come = self._whole - self._at_hand
        else:  # the headers are incomplete or too large
            self._at_hand, self._to_come = min(MOST_HEAD, len(self._came)), 0
        self.has_head = False
        self._whole = self._searched = 0
        self.failure = None
        self._pace = None
        return True

    _pace: Pace | None = None

    @property
    def was_told_to_continue(self) -> bool:
        """Whether ``100 Continue`` was sent for this request."""
        told, self._asked_to_continue = self._asked_to_continue, False
        return told

    @property
    def is_all_here(self) -> bool:
        """Whether the current request is received completely."""
        return self._to_come <= 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return the next bytes of the current request; no bytes if the client has closed the connection.

        Raises
        ------
        LimitRequestHeaders
            If the headers don't end within the largest size allowed.
        TimeoutError
            If the rest of the body doesn't arrive in time.
        """
        if self._at_hand:
            data = bytes(self._came[: min(size, self._at_hand)])
            del self._came[: len(data)]
            self._at_hand -= len(data)
            return data
        if self._closing or self.has_ended:
            return b""
        if not self.has_head:
            raise LimitRequestHeaders("no end of the head")
        data = self._waited_for(min(size, self._to_come) if self._to_come > 0 else size)
        self._to_come -= len(data)
        self.has_ended = not data
        return data

    def _waited_for(self, size: int) -> bytes:
        pace = self._pace = self._pace or Pace(self.patience, self.others_wait)
        while True:
            try:
                data = _recv(self, size, _AT_ONCE)
            except BlockingIOError:
                if self._waits(select.POLLIN, self.deadline - time.monotonic(), pace, 0):
                    continue
            else:
                if not pace.is_too_slow(0.0, len(data)):
                    return data
            self.force_close()
            raise TimeoutError("the request didn't come in time")

    def _waits(self, event: int, seconds: float, pace: Pace, moved: int) -> bool:
        """Wait until bytes can be received or sent. Return False if the client is too slow."""
        poll = select.poll()
        poll.register(self, event)
        while seconds > 0:
            began = time.monotonic()
            happened = poll.poll(min(GRACE, seconds) * 1000)
            waited = time.monotonic() - began
            if pace.is_too_slow(waited, moved):
                return False
            if happened:
                return True
            seconds, moved = seconds - waited, 0
        return False

    def expect_next(self, unreader: Any) -> None:
        """End the current request. Bytes that gunicorn's reader has read beyond it belong to the next request."""
        if unreader.buf.tell():
            self._came[:0] = unreader.take_buffered()
        if self._came:
            self.deadline = time.monotonic() + self.patience

    # Sending

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send data. If the length of the response is known, :meth:`push` sends what can't be sent without blocking.

        Raises
        ------
        Gone
            If the client has closed the connection, or is too slow for a thread to wait.
        """
        if self._held:
            data, self._held = self._held + data, b""
        elif data[:7] == b"HTTP/1.":
            self._is_known_length = b"\r\nContent-Length: " in data
            if self._is_known_length:
                self._held = data
                return
        if self.unsent:
            data = self.unsent + data
        self.unsent = data[self._sent(data) :]
        if self.unsent and not (self._is_known_length and len(self.unsent) <= MOST_UNSENT):
            self._send_slowly()

    def send(self, data: Any, flags: int = 0) -> int:
        self.sendall(data)
        return len(data)

    def _sent(self, data: bytes | memoryview) -> int:
        """Send what can be sent without blocking. Return the number of bytes."""
        try:
            return _send(self, data, _AT_ONCE)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self.unsent = b""
            self.failure = f"the client closed the connection before the response was sent ({exc.strerror})"
            raise Gone(self.failure) from exc

    def _send_slowly(self) -> None:
        pace = Pace(self.patience, self.others_wait)
        rest = memoryview(self.unsent)
        self.unsent = b""
        most, moved = MOST_UNSENT if self._is_known_length else 0, 0
        while len(rest) > most:
            if not self._waits(select.POLLOUT, self.patience, pace, moved):
                self.failure = "the client reads the response too slowly"
                raise Gone(self.failure)
            moved = self._sent(rest)
            rest = rest[moved:]
        self.unsent = bytes(rest)

    def push(self) -> int:
        """Send what can be sent of the rest without blocking. Return the number of bytes.

        Raises
        ------
        Gone
            If the client has closed the connection.
        """
        sent = self._sent(self.unsent)
        self.unsent = self.unsent[sent:]
        return sent

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file like any other response. Return the number of bytes."""
        if offset:
            file.seek(offset)
        sent = 0
        while block := file.read(MOST_KEPT if count is None else min(MOST_KEPT, count - sent)):
            self.sendall(block)
            sent += len(block)
        return sent

    def flush(self) -> None:
        """Send headers that are held back and have no body."""
        if self._held:
            self.sendall(b"")

    def try_to_send(self, data: bytes) -> None:
        """Send a few bytes to a client that may have closed the connection. Errors are ignored."""
        try:
            _send(self, data, _AT_ONCE)
        except OSError:
            self.has_ended = True

    def close_unless_read(self) -> None:
        """Close the connection after the response if the request's body is not received completely."""
        if self._to_come > 0:
            self.force_close()

    def shutdown(self, how: int) -> None:
        self._closing = True
        super().shutdown(how)

    def drained(self) -> int:
        """Receive and discard bytes.

        Return their number; -1 if the client has closed the connection or sends no more.
        """
        try:
            return len(_recv(self, CHUNK, _AT_ONCE)) or -1
        except BlockingIOError:
            return 0
        except OSError:
            return -1
