"""Somebody who goes on using a server while a model of somebody else does harm."""

import contextlib
import http.client
import threading
import time
from typing import Any

from tests.serving import Server

PATIENCE = 60


def ask(
    server: Server, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """As a client does that tries again when a connection ends, or the server has no time."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, content = server.request(method, path, body, headers)
            if status != 503:
                return status, content
        assert time.monotonic() < deadline, f"{method} {path}: no answer for {PATIENCE} s"
        threading.Event().wait(0.05)


class Neighbour(threading.Thread):
    """Learns into a stream of its own, point after point, each with a key, until :meth:`done`."""

    def __init__(self, server: Server, stream: str = "neighbour") -> None:
        super().__init__()
        self.server = server
        self.stream = stream
        self.waits: list[float] = []
        """Seconds that each point took until it was acknowledged, tries that failed included."""
        self.wrong: list[Any] = []
        self.before = ask(server, "GET", f"/api/v1/streams/{stream}/")[1]["head"]
        """Observations that the stream had before."""
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(0.01):
            began = time.monotonic()
            n = len(self.waits)
            answer = ask(
                self.server, "POST", f"/api/v1/streams/{self.stream}/observations/",
                {"x": {"a": float(n % 7)}, "y": float(n % 11), "key": f"point-{self.before + n}"},
            )  # fmt: skip
            if answer[0] not in (200, 201):
                self.wrong.append(answer)
            self.waits.append(time.monotonic() - began)

    def done(self) -> None:
        """Stop it, and see that each point it sent was learned once."""
        self._stopping.set()
        self.join()
        assert self.wrong == []
        _, found = ask(self.server, "GET", f"/api/v1/streams/{self.stream}/")
        assert found["head"] - self.before == len(self.waits) > 0
