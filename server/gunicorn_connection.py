"""A connection as gunicorn's worker has it: how its requests are waited for, and how its answers leave."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

MOST_DRAINED = 2**16
"""Bytes that are read from a connection that ends, so that its client reads the answer to what it sent too much."""

_FAILED = ("500 Internal Server Error", "internal", "the server failed; its log says why")
_REFUSALS: dict[type, tuple[str, str, str]] = {
    LimitRequestLine: ("414 URI Too Long", "too_large", "the address is too long: the most is 4094 characters"),
    LimitRequestHeaders: (
        "431 Request Header Fields Too Large", "too_large",
        "the headers are too large: the most is 100 fields, each of 8190 characters",
    ),
    ExpectationFailed: ("417 Expectation Failed", "bad_request", "nothing can be expected but 100-continue"),
    ParseException: (
        "400 Bad Request", "bad_request",
        "the request can't be read, or can be read in two ways (two lengths, a header name with '_', a folded line)",
    ),
    TimeoutError: (
        "408 Request Timeout", "request_timeout", "the request didn't come within TAILRACE_REQUEST_SECONDS"
    ),
    InvalidResponseHeader: _FAILED,
    InvalidResponseHeaderName: _FAILED,
    BaseException: _FAILED,
}  # fmt: skip


def is_malformed(exc: BaseException) -> bool:
    """Whether it was the client that went wrong."""
    return not _refusal(exc)[0].startswith("5")


def refusal(exc: BaseException) -> bytes:
    """A whole answer to what never got as far as the application, after which the connection ends."""
    status, code, message = _refusal(exc)
    body = json.dumps({"error": {"code": code, "message": message, "request_id": "-"}}).encode()
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _refusal(exc: BaseException) -> tuple[str, str, str]:
    return next(_REFUSALS[kind] for kind in type(exc).__mro__ if kind in _REFUSALS)


class Connection(socket.socket):
    """One client's connection.

    It sends a response's head together with the first of its body: gunicorn sends them apart, and each sending gives up
    the interpreter and wakes the client. And it waits for a request until :attr:`deadline`, however slowly it drips in.
    """

    deadline = float("inf")
    """When the request has to be here, by :func:`time.monotonic`."""

    has_head = False
    """Whether the request's head is here, so that the application can answer for the rest."""

    force_close: Callable[[], None]
    """Ends the connection after the answer to the request at hand; the application's own word for it is not passed on."""

    _held = b""

    @classmethod
    def of(cls, accepted: socket.socket) -> "Connection":
        """Take over a connection that was accepted."""
        return cls(fileno=accepted.detach())

    def begin(self, seconds: float) -> None:
        """Expect a request within so many seconds."""
        self.deadline = time.monotonic() + seconds
        self.has_head = False

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What has come, as soon as something has; nothing if the client has gone, or its request's head is late.

        Raises
        ------
        TimeoutError
            If the body is late.
        """
        while True:
            try:
                return super().recv(size, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                poll = select.poll()
                poll.register(self, select.POLLIN)
                if poll.poll(max(0.0, self.deadline - time.monotonic()) * 1000):
                    continue
            late = TimeoutError("the request didn't come in time")
            if self.has_head:
                raise late
            super().sendall(refusal(late))
            return b""

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        elif data[:7] == b"HTTP/1." and b"\r\nContent-Length: " in data:
            self._held = data
            return
        super().sendall(data, flags)

    def sendfile(self, *args: Any, **options: Any) -> int:
        self.flush()
        return super().sendfile(*args, **options)

    def flush(self) -> None:
        """Send a head that no body followed."""
        if self._held:
            self.sendall(b"")

    def end(self, seconds: float) -> None:
        """Let the client read the last answer before the connection is closed.

        gunicorn would do this for up to two seconds in its main thread, which meanwhile accepts nobody.
        """
        deadline, drained = time.monotonic() + seconds, 0
        with contextlib.suppress(OSError):  # it has gone already, or has had its time
            self.shutdown(socket.SHUT_WR)
            while drained < MOST_DRAINED:
                self.settimeout(max(0.001, deadline - time.monotonic()))
                got = super().recv(4096)
                if not got:
                    break
                drained += len(got)
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RD)
