"""Somebody who goes on using a server while a model of somebody else does harm."""

import http.client
import threading
import time
from typing import Any

from tests.serving import Server

PATIENCE = 60


def ask(
    server: Server,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    patience: float = PATIENCE,
) -> tuple[int, Any]:
    """As a client does that tries again when a connection ends, or the server has no time."""
    began = time.monotonic()
    tries: list[str] = []
    while True:
        sent = time.monotonic()
        try:
            status, content = server.request(method, path, body, headers)
            if status != 503:
                return status, content
            why = f"503 {content['error']['message']}"
        except (OSError, http.client.HTTPException) as exc:
            why = f"{type(exc).__name__} {exc}"
        now = time.monotonic()
        tries.append(f"{sent - began:.1f} to {now - began:.1f} s: {why}")
        assert now < began + patience, f"{method} {path}: no answer for {patience} s:\n" + "\n".join(tries[-20:])
        threading.Event().wait(0.05)


class FairClock(threading.Thread):
    """Counts seconds as a machine without other work would: it goes slower where threads have to wait for a CPU.

    So a bound on somebody's wait holds on a busy machine, too, and still fails for a server that is blocked.
    """

    WORK, PAUSE = 0.005, 0.01

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds = 0.0
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(self.PAUSE):
            until = time.thread_time() + self.WORK
            while time.thread_time() < until:
                pass
            self.seconds += self.PAUSE + self.WORK

    def stop(self) -> None:
        self._stopping.set()
        self.join()


class Neighbour(threading.Thread):
    """Learns into a stream of its own, point after point, each with a key, until :meth:`done`."""

    def __init__(self, server: Server, stream: str = "neighbour") -> None:
        super().__init__()
        self.server = server
        self.stream = stream
        self.waits: list[float] = []
        """Seconds of a :class:`FairClock` that each point took until it was acknowledged, tries that failed included."""
        self.wrong: list[Any] = []
        self.before = ask(server, "GET", f"/api/v1/streams/{stream}/")[1]["head"]
        """Observations that the stream had before."""
        self._stopping = threading.Event()
        self._clock = FairClock()

    def run(self) -> None:
        self._clock.start()
        while not self._stopping.wait(0.01):
            began = self._clock.seconds
            n = len(self.waits)
            answer = ask(
                self.server, "POST", f"/api/v1/streams/{self.stream}/observations/",
                {"x": {"a": float(n % 7)}, "y": float(n % 11), "key": f"point-{self.before + n}"},
            )  # fmt: skip
            if answer[0] not in (200, 201):
                self.wrong.append(answer)
            self.waits.append(self._clock.seconds - began)
        self._clock.stop()

    def done(self) -> None:
        """Stop it, and see that each point it sent was learned once."""
        self._stopping.set()
        self.join()
        assert self.wrong == []
        _, found = ask(self.server, "GET", f"/api/v1/streams/{self.stream}/")
        assert found["head"] - self.before == len(self.waits) > 0
