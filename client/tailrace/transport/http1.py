"""One HTTP/1.1 request over a socket, and its response.

``http.client`` is not used: importing it (with OpenSSL and the e-mail parsers) takes longer than the rest of a post,
and its timeout starts again with every byte received.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BrokenResponse", "Response", "read_response", "send_request"]

LARGEST_HEAD = 65_536
"""Most bytes of a response's headers."""

PIECE = 65_536


class BrokenResponse(ConnectionError):
    """The response is not HTTP, or is incomplete."""


def send_request(
    connection: socket.socket, method: str, target: str, headers: Mapping[str, str], payload: bytes | None
) -> OSError | None:
    """Send a request.

    Most errors are returned, not raised: the server may have answered and closed the connection before it read
    everything.

    Raises
    ------
    ValueError
        If a header contains a line break.
    TimeoutError
        If the socket's timeout passes.
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


def read_response(connection: socket.socket, timeout: Callable[[], float]) -> Response:
    """Read a response up to the end of its headers.

    Parameters
    ----------
    timeout
        Returns how many seconds to wait for the next bytes. It is called before each wait, and may raise
        ``TimeoutError``.

    Raises
    ------
    BrokenResponse
        If it is not an HTTP response, or the connection ends before the end of the headers.
    OSError
        If reading from the socket fails.
    """
    reader = _Reader(connection, timeout)
    while True:
        status, reason = _status(reader.line())
        headers = _headers(reader)
        if status >= 200:
            return Response(reader, status, reason, headers)


class Response:
    """A response whose body is not read yet. Closing it closes the connection.

    Attributes
    ----------
    status, reason
        Status code and text, such as 201 and ``Created``.
    headers
        Values by name in lower case. The values of a repeated header are joined by commas.
    """

    def __init__(self, reader: _Reader, status: int, reason: str, headers: dict[str, str]) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self._reader = reader
        self._chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
        self._left: int | None = None  # bytes left of the body or its current chunk; None: until the connection ends
        self._ended = status in (204, 304)
        if self._chunked:
            self._left = 0
        elif "content-length" in headers:
            lengths = {length.strip() for length in headers["content-length"].split(",")}
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdigit()):
                raise BrokenResponse(f"its Content-Length is {headers['content-length']!r}")
            self._left = int(length)

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes of the body, at most ``size``, or all if ``size`` is negative. Empty at the end.

        Raises
        ------
        BrokenResponse
            If the connection ends before the end of the body.
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
                raise BrokenResponse("its answer broke off")
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
            raise BrokenResponse(f"a chunk of its answer has the size {size[:20]!r}") from None
        if self._left <= 0:
            _headers(self._reader)
            self._ended = True


class _Reader:
    """Reads bytes and lines from a socket."""

    def __init__(self, connection: socket.socket, timeout: Callable[[], float]) -> None:
        self.connection = connection
        self._timeout = timeout
        self._held = b""

    def some(self, most: int) -> bytes:
        """Returns 1 to `most` bytes; none at the end."""
        if not self._held:
            return self._receive(most)
        piece, self._held = self._held[:most], self._held[most:]
        return piece

    def line(self) -> bytes:
        """Returns the next line, without its line break."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > LARGEST_HEAD:
                raise BrokenResponse("a line of its answer has no end")
            received = self._receive(PIECE)
            if not received:
                raise BrokenResponse(
                    "it closed the connection without an answer" if not self._held else "its answer broke off"
                )
            self._held += received
        line, self._held = self._held[:end], self._held[end + 1 :]
        return line.rstrip(b"\r")

    def _receive(self, most: int) -> bytes:
        self.connection.settimeout(self._timeout())
        return self.connection.recv(most)


def _status(line: bytes) -> tuple[int, str]:
    version, _, rest = line.decode("latin-1").partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(status) != 3 or not (status.isascii() and status.isdigit()):
        raise BrokenResponse(f"the response is not HTTP: {line[:60]!r}")
    return int(status), reason.strip()


def _headers(reader: _Reader) -> dict[str, str]:
    headers: dict[str, str] = {}
    size = 0
    while line := reader.line():
        size += len(line)
        if size > LARGEST_HEAD:
            raise BrokenResponse("its answer's headers have no end")
        name, _, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
