"""A connection as gunicorn's worker has it: what has come of its next request, and what is left to send of its last answer.

Nothing here waits but for a large body or a large answer, whose time is measured (:class:`Pace`).
"""

import errno
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders

from server.gunicorn_refusals import MOST_HEAD

FIRST_CHUNK = 2**13
CHUNK = 2**16
MOST_KEPT = 2**18
"""Bytes of a body that are waited for without a thread: of larger ones a thread reads the rest."""

MOST_UNSENT = 2**20
"""Bytes of an answer of known length that are left to be sent without a thread."""

SLOWEST = 2**14
"""Bytes a second that a client has to send or take while a thread waits for it."""

GRACE = 2.0
"""Seconds that a thread waits for a slower client while others wait for a thread."""

_recv, _send, _AT_ONCE = socket.socket.recv, socket.socket.send, int(socket.MSG_DONTWAIT)

MOST_LINE = 2**13
"""Bytes of a request's first line."""


def _field(head: bytes | bytearray, name: bytes) -> bytes:
    """The value of a field of a head in small letters; the parser, which comes later, is the one that judges."""
    start = head.find(b"\r\n%s:" % name)
    if start < 0:
        return b""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return bytes(head[start : end if end >= 0 else len(head)]).strip(b" \t")


class Gone(ConnectionResetError):
    """The client closed the connection, or took its answer too slowly. gunicorn has no more to say of it; the worker has."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ECONNRESET, message)


class Pace:
    """Measures how fast a client is while a thread waits for it.

    Parameters
    ----------
    patience
        Seconds of waiting after which a client that has been slower than :data:`SLOWEST` is given up.
    others_wait
        Whether others wait for a thread; then it is given up after :data:`GRACE`.
    """

    def __init__(self, patience: float, others_wait: Callable[[], object]) -> None:
        self._patience = patience
        self._others_wait = others_wait
        self._waited = self._moved = 0.0
        self._waited_since = self._moved_since = 0.0

    def is_too_slow(self, waited: float, moved: int) -> bool:
        """Count seconds that were waited and bytes that were moved."""
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

    It takes in a request without waiting (:meth:`is_ready`), until a thread has nothing left to wait for; and it sends a response's
    head together with the first of its body, as gunicorn sends them apart, and each sending gives up the interpreter and wakes
    the client.
    """

    patience = 60.0
    """Seconds that a request may take to come, and an answer to be taken."""

    others_wait: Callable[[], object] = bool
    """Whether others wait for a thread."""

    deadline = float("inf")
    """When the request that has begun to come has to be whole, by :func:`time.monotonic`."""

    has_head = False
    """Whether the application can answer for what goes wrong from here on."""

    has_ended = False
    """Whether the client will send no more."""

    failure: str | None = None
    """Why the last answer couldn't be sent."""

    keeps = True
    """Whether there may be another request once all is sent."""

    force_close: Callable[[], None]
    """Ends the connection after the answer to the request at hand; the application's own word for it is not passed on."""

    most_body = 2**63
    """Bytes of a body beyond which the application refuses it unseen."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unsent = b""
        self._came = bytearray()  # and wasn't asked for yet
        self._searched = self._whole = 0  # bytes: without the end of a head; of the request whose head is here
        self._asked_to_continue = False
        self._at_hand = self._to_come = 0  # bytes of the request that is being served
        self._held = b""
        self._is_known_length = False
        self._closing = False

    @classmethod
    def of(cls, accepted: socket.socket) -> "Connection":
        """Take over a connection that was accepted."""
        return cls(accepted.family, accepted.type, accepted.proto, accepted.detach())

    def setblocking(self, flag: bool) -> None:
        """Nothing: no call on this connection blocks, whatever gunicorn sets."""

    # What comes

    @property
    def has_begun(self) -> bool:
        """Whether something of the next request is here."""
        return bool(self._came)

    @property
    def kept(self) -> int:
        """Bytes of the next request that are here."""
        return len(self._came)

    @property
    def first_bytes(self) -> bytes:
        """The beginning of the next request."""
        return bytes(self._came[:16])

    def is_ready(self) -> bool:
        """Take in what has come; whether a thread can serve a request, or see to the connection's end."""
        if self.has_ended or (self._came and self._is_whole()):
            return True
        size = FIRST_CHUNK  # room for more costs time
        while True:
            try:
                data = _recv(self, size, _AT_ONCE)
            except BlockingIOError:
                return False
            except OSError as exc:
                data = b""
                if exc.errno == errno.ETIMEDOUT:  # whatever it was sent, and took the kernel to keep
                    self.failure = f"the client answers no more ({exc.strerror})"
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
                # Too large, or a line that ends with LF alone: it is refused already.
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
        """Have the request that is here read by :meth:`recv`; False if there is none, nor the beginning of one."""
        if not self._came:
            return False
        if self._whole:
            self._at_hand = min(self._whole, len(self._came))
            self._to_come = self._whole - self._at_hand
        else:  # no head, or too large a one, whose end nobody looks for
            self._at_hand, self._to_come = min(MOST_HEAD, len(self._came)), 0
        self.has_head = False
        self._whole = self._searched = 0
        self.failure = None
        self._pace = None
        return True

    _pace: Pace | None = None

    @property
    def was_told_to_continue(self) -> bool:
        """Whether the client was told already to send the body that it asked about."""
        told, self._asked_to_continue = self._asked_to_continue, False
        return told

    @property
    def is_all_here(self) -> bool:
        """Whether nothing of the request that is being served is still to come."""
        return self._to_come <= 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The next of the request that is being served; nothing if the client has gone.

        Raises
        ------
        LimitRequestHeaders
            If there is no end of its head in as many bytes as it may have.
        TimeoutError
            If the rest of its body is late.
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
        """Wait until something can be moved; False if the client is given up."""
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
        """Be done with a request; what gunicorn's reader has read ahead of it belongs to the next."""
        if unreader.buf.tell():
            self._came[:0] = unreader.take_buffered()
        if self._came:
            self.deadline = time.monotonic() + self.patience

    # What goes

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send, or keep to be sent by :meth:`push` what the client doesn't take at once of an answer of known length.

        Raises
        ------
        Gone
            If the client has gone, or is too slow for a thread to wait.
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
        """Bytes that the client takes at once."""
        try:
            return _send(self, data, _AT_ONCE)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self.unsent = b""
            self.failure = f"the client went away before it had its answer ({exc.strerror})"
            raise Gone(self.failure) from exc

    def _send_slowly(self) -> None:
        pace = Pace(self.patience, self.others_wait)
        rest = memoryview(self.unsent)
        self.unsent = b""
        most, moved = MOST_UNSENT if self._is_known_length else 0, 0
        while len(rest) > most:
            if not self._waits(select.POLLOUT, self.patience, pace, moved):
                self.failure = "the client took its answer too slowly"
                raise Gone(self.failure)
            moved = self._sent(rest)
            rest = rest[moved:]
        self.unsent = bytes(rest)

    def push(self) -> int:
        """Send of the rest what the client takes at once; how many bytes that are.

        Raises
        ------
        Gone
            If the client has gone.
        """
        sent = self._sent(self.unsent)
        self.unsent = self.unsent[sent:]
        return sent

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file as any other answer."""
        if offset:
            file.seek(offset)
        sent = 0
        while block := file.read(MOST_KEPT if count is None else min(MOST_KEPT, count - sent)):
            self.sendall(block)
            sent += len(block)
        return sent

    def flush(self) -> None:
        """Send a head that no body followed."""
        if self._held:
            self.sendall(b"")

    def try_to_send(self, data: bytes) -> None:
        """Send something small to a client that may have gone."""
        try:
            _send(self, data, _AT_ONCE)
        except OSError:
            self.has_ended = True

    def close_unless_read(self) -> None:
        """Close the connection after the answer if the request's body would have to be waited for first."""
        if self._to_come > 0:
            self.force_close()

    def shutdown(self, how: int) -> None:
        self._closing = True
        super().shutdown(how)

    def drained(self) -> int:
        """Bytes that came to a connection that ends, and are passed over; -1 if the client has closed it or sends nothing more."""
        try:
            return len(_recv(self, CHUNK, _AT_ONCE)) or -1
        except BlockingIOError:
            return 0
        except OSError:
            return -1
