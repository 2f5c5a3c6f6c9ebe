"""One HTTP/1.1 request over a socket, and its answer.

``http.client`` would serve, but importing it costs more than all the rest of a post (it brings OpenSSL and the
parsers of e-mail), and its timeouts begin anew with every byte of an answer that trickles in.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Broken", "Response", "respond", "send"]

LARGEST_HEAD = 65_536
"""Bytes of an answer's headers."""

PIECE = 65_536


class Broken(ConnectionError):
    """What came is no answer of HTTP, or not all of one."""


def send(
    connection: socket.socket, method: str, target: str, headers: Mapping[str, str], payload: bytes | None
) -> OSError | None:
    """Send a request. An error is returned, not raised: a server may have answered, and closed, before it had read all.

    Raises
    ------
    ValueError
        If a header would break the request apart.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if payload is not None:
        lines.append(f"Content-Length: {len(payload)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    try:
        connection.sendall(head + (payload or b""))
    except socket.timeout:  # noqa: UP041 - no TimeoutError before Python 3.10
        raise
    except OSError as error:
        return error
    return None


def respond(connection: socket.socket, patience: Callable[[], float]) -> Response:
    """Read an answer as far as its headers.

    Parameters
    ----------
    patience
        How many seconds to wait for the next bytes, asked anew before each wait; may raise ``TimeoutError``.

    Raises
    ------
    Broken
        If what comes is no answer, or the connection ends before its headers do.
    OSError
        As sockets do.
    """
    reader = _Reader(connection, patience)
    while True:
        status, reason = _status(reader.line())
        headers = _headers(reader)
        if status >= 200:
            return Response(reader, status, reason, headers)


class Response:
    """An answer whose body is still to be read. Closing it closes the connection.

    Attributes
    ----------
    status, reason
        Such as 201 and ``Created``.
    headers
        By name in lower case; one that came several times is joined by commas.
    """

    def __init__(self, reader: _Reader, status: int, reason: str, headers: dict[str, str]) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self._reader = reader
        self._chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
        self._left: int | None = None  # of the body, or of its present chunk; None: until the connection ends
        self._ended = status in (204, 304)
        if self._chunked:
            self._left = 0
        elif "content-length" in headers:
            lengths = {length.strip() for length in headers["content-length"].split(",")}
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdigit()):
                raise Broken(f"its Content-Length is {headers['content-length']!r}")
            self._left = int(length)

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the body, at most ``size``; all of them if that is negative; empty at the end.

        Raises
        ------
        Broken
            If the connection ends before the body does.
        """
        if size >= 0:
            return self._some(size)
        pieces = []
        while piece := self._some(PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connection."""
        self._reader.connection.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _some(self, size: int) -> bytes:
        if self._ended or size == 0:
            return b""
        if self._left == 0:
            self._next_chunk()
            if self._ended:
                return b""
        piece = self._reader.some(size if self._left is None else min(size, self._left))
        if self._left is not None:
            if not piece:
                raise Broken("its answer broke off")
            self._left -= len(piece)
            if self._left == 0 and self._chunked:
                self._reader.line()
        elif not piece:
            self._ended = True
        return piece

    def _next_chunk(self) -> None:
        if not self._chunked:
            self._ended = True
            return
        size = self._reader.line().partition(b";")[0].strip()
        try:
            self._left = int(size, 16)
        except ValueError:
            raise Broken(f"a chunk of its answer has the size {size[:20]!r}") from None
        if self._left <= 0:
            _headers(self._reader)
            self._ended = True


class _Reader:
    """Bytes and lines from a socket."""

    def __init__(self, connection: socket.socket, patience: Callable[[], float]) -> None:
        self.connection = connection
        self._patience = patience
        self._held = b""

    def some(self, most: int) -> bytes:
        """At least one byte and at most so many; none at the end."""
        if not self._held:
            return self._receive(most)
        piece, self._held = self._held[:most], self._held[most:]
        return piece

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > LARGEST_HEAD:
                raise Broken("a line of its answer has no end")
            received = self._receive(PIECE)
            if not received:
                raise Broken("it closed the connection without an answer" if not self._held else "its answer broke off")
            self._held += received
        line, self._held = self._held[:end], self._held[end + 1 :]
        return line.rstrip(b"\r")

    def _receive(self, most: int) -> bytes:
        self.connection.settimeout(self._patience())
        return self.connection.recv(most)


def _status(line: bytes) -> tuple[int, str]:
    version, _, rest = line.decode("latin-1").partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(status) != 3 or not (status.isascii() and status.isdigit()):
        raise Broken(f"what answers there doesn't speak HTTP: {line[:60]!r}")
    return int(status), reason.strip()


def _headers(reader: _Reader) -> dict[str, str]:
    headers: dict[str, str] = {}
    size = 0
    while line := reader.line():
        size += len(line)
        if size > LARGEST_HEAD:
            raise Broken("its answer's headers have no end")
        name, _, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
