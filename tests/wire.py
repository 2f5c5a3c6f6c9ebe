"""Bytes to and from a real server, as no well-behaved client sends them."""

import socket
from collections.abc import Iterable
from typing import NamedTuple

from tests.serving import PATIENCE, Server


class Answer(NamedTuple):
    """What came back on a connection until the server closed it.

    Attributes
    ----------
    status
        Of the first answer; 0 if there was none.
    body
        Of the first answer.
    answers
        How many answers came.
    """

    status: int
    body: bytes
    answers: int


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def request(
    *headers: bytes, line: bytes = b"POST /api/v1/streams/s/observations/ HTTP/1.1", body: bytes = b""
) -> bytes:
    """A request for this machine with just these headers."""
    return b"\r\n".join((line, b"Host: 127.0.0.1", *headers, b"", body))


def until_closed(connection: socket.socket) -> Answer:
    """All that comes until the server closes the connection; it fails if the server doesn't."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1]) if head else 0
    return Answer(status, body.partition(b"HTTP/1.1 ")[0], received.count(b"HTTP/1.1 "))


def sent(server: Server, data: bytes, *, then: Iterable[bytes] = ()) -> Answer:
    """The answer to what is sent on a connection of its own, which the server has to close."""
    with connect(server) as connection:
        try:
            for piece in (data, *then):
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before its end
        return until_closed(connection)
