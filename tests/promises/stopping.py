"""A server that is stopped or killed under load, in whatever it runs."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from tests.serving import PATIENCE

CLIENTS = 8
PATH = "/api/v1/streams/s/observations/"


class Stoppable(Protocol):
    """A process or a container that serves."""

    port: int

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]: ...
    def stop(self) -> int: ...
    def start(self) -> Any: ...


class Poster(threading.Thread):
    """A client that posts one point after another on one connection, until the server ends it or can't be reached.

    Attributes
    ----------
    acknowledged
        Key to number.
    unanswered
        Keys of requests that were sent whole, and that no answer came to.
    refused
        Answers that were no 201.
    """

    def __init__(self, port: int, name: str) -> None:
        super().__init__(name=name)
        self.port = port
        self.acknowledged: dict[str, int] = {}
        self.unanswered: list[str] = []
        self.refused: list[tuple[int, bytes]] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        n = 0
        while not self.refused:
            n += 1
            key = f"{self.name}-{n}"
            try:
                connection.request("POST", PATH, json.dumps({"x": {"a": n}, "y": n, "key": key}))
            except OSError:
                return  # nobody took it
            try:
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                self.unanswered.append(key)
                return
            if answer.status == 201:
                self.acknowledged[key] = json.loads(content)["first"]
            else:
                self.refused.append((answer.status, content))


def prepare(server: Stoppable) -> None:
    """Make the stream that everybody posts to, and a model that learns from it."""
    assert server.request("POST", "/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.request("POST", "/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})[0] == 201


@contextlib.contextmanager
def load(server: Stoppable, name: str = "") -> Iterator[list[Poster]]:
    """Clients that post all the while: all have had answers once it begins, and have ended when it is over."""
    posters = [Poster(server.port, f"{name}{number}") for number in range(CLIENTS)]
    for poster in posters:
        poster.start()
    _more(posters, 5 * CLIENTS)
    yield posters
    for poster in posters:
        poster.join(PATIENCE)
        assert not poster.is_alive()


def acknowledged(posters: list[Poster]) -> dict[str, int]:
    """Key to number of all that was."""
    return {key: seq for poster in posters for key, seq in poster.acknowledged.items()}


def logged(server: Stoppable) -> dict[str, int]:
    """All that the log holds, key to number; the numbers have no gaps."""
    found: dict[str, int] = {}
    while page := server.request("GET", f"{PATH}?after={len(found)}&limit=1000")[1]["observations"]:
        assert [observation["seq"] for observation in page] == list(range(len(found) + 1, len(found) + len(page) + 1))
        found |= {observation["key"]: observation["seq"] for observation in page}
    return found


def stop_under_load(server: Stoppable) -> tuple[int, list[Poster], dict[str, int]]:
    """Stop a server that is busy, while one request is half sent.

    Returns
    -------
    tuple
        Its exit code; the clients, who have ended; and what was acknowledged in all.
    """
    body = json.dumps({"x": {"a": 0}, "y": 0.0, "key": "half sent"}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    codes: list[int] = []
    with load(server) as posters, socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as half:
        half.sendall(head + body[:10])
        _more(posters, 5 * CLIENTS)  # so it was seen
        stop = threading.Thread(target=lambda: codes.append(server.stop()))
        stop.start()
        _until_nobody_is_let_in(server.port)
        half.sendall(body[10:])
        answer = http.client.HTTPResponse(half)
        answer.begin()
        assert answer.status == 201, answer.read()
        kept = {"half sent": json.loads(answer.read())["first"]}
        stop.join(PATIENCE)
    return codes[0], posters, kept | acknowledged(posters)


def _more(posters: list[Poster], count: int) -> None:
    """Wait for so many more answers."""
    wanted = len(acknowledged(posters)) + count
    while len(acknowledged(posters)) < wanted:
        assert all(poster.is_alive() for poster in posters), [(poster.refused, poster.unanswered) for poster in posters]
        threading.Event().wait(0.01)


def _until_nobody_is_let_in(port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            threading.Event().wait(0.02)


def nothing_was_lost(
    server: Stoppable, posters: list[Poster], acknowledged: dict[str, int], *, answers_all: bool
) -> None:
    """Start the server again, and hold its log against what the clients know.

    Parameters
    ----------
    answers_all
        Whether each request that was sent whole had to be answered. granian may close a kept connection at the instant when
        the next request comes in on it: that client sends it again, with its key.
    """
    unanswered = {key for poster in posters for key in poster.unanswered}
    assert not answers_all or not unanswered
    assert [poster.refused for poster in posters] == [[]] * len(posters)
    server.start()
    assert {key: seq for key, seq in logged(server).items() if key not in unanswered} == acknowledged
    for key in unanswered:
        n = int(key.rpartition("-")[2])
        assert server.request("POST", PATH, {"x": {"a": n}, "y": n, "key": key})[0] in (200, 201)
    assert logged(server).keys() == acknowledged.keys() | unanswered
