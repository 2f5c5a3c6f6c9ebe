"""Servers that misbehave on purpose, on real sockets of this machine."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

HTML = b"<html><body><h1>502 Bad Gateway</h1>nginx</body></html>"


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers])
    return head.encode() + b"\r\n\r\n" + body


def read_request(connection: socket.socket) -> bytes:
    """One request, head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < length and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


class Listener:
    """Answers each connection as ``behave`` does.

    Parameters
    ----------
    reading
        How a request is read.
    dressed
        What is done with a connection first, such as TLS.

    Attributes
    ----------
    url, place
        Where it listens.
    requests
        What came, in order.
    heard
        Set once anything has come.
    """

    def __init__(
        self,
        behave: Callable[[socket.socket, int], None],
        reading: Callable[[socket.socket], bytes] = read_request,
        dressed: Callable[[socket.socket], socket.socket] = lambda connection: connection,
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.place = self._socket.getsockname()
        self.url = f"http://127.0.0.1:{self.place[1]}"
        self._reading = reading
        self._dressed = dressed
        self.requests: list[bytes] = []
        self.heard = threading.Event()
        self._behave = behave
        self._held: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._held.append(connection)
            number += 1
            threading.Thread(target=self._one, args=(connection, number), daemon=True).start()

    def _one(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            connection = self._dressed(connection)
            self.requests.append(self._reading(connection))
            self.heard.set()
            self._behave(connection, number)

    def close(self) -> None:
        self._socket.close()
        for connection in self._held:
            connection.close()


@contextlib.contextmanager
def listening(behave: Callable[[socket.socket, int], None], **options: Any) -> Iterator[Listener]:
    listener = Listener(behave, **options)
    try:
        yield listener
    finally:
        listener.close()


def replies(*answers: bytes) -> Callable[[socket.socket, int], None]:
    """Each connection gets the next of the answers, the last one again and again."""

    def behave(connection: socket.socket, number: int) -> None:
        connection.sendall(answers[min(number, len(answers)) - 1])
        connection.close()

    return behave


def silent(connection: socket.socket, number: int) -> None:
    """Reads and says nothing."""


def half_closing(connection: socket.socket, number: int) -> None:
    """Begins an answer and closes its side."""
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{")
    connection.close()


def trickling(connection: socket.socket, number: int) -> None:
    """An answer that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b" ")
            threading.Event().wait(0.02)
