"""Jobs that report to several servers at once, each to whichever of them answers."""

import http.client
import itertools
import json
import threading
import time
from typing import Any

from tests.serving import PATIENCE, Server

AGAIN = 3
"""Of so many points, one is posted again, and one predicted and looked up, through other servers than the one that took it."""


class NeverAnswered(Exception):
    """None of the servers answered in time."""


class Job(threading.Thread):
    """One point after another, each posted under its key until a server acknowledges it, each try at the next server.

    Attributes
    ----------
    acknowledged
        Stream and key to the number that the point was given.
    wrong
        What contradicts a promise, as it was seen.
    retries
        Tries that no server answered, or one with 503.
    """

    def __init__(self, number: int, servers: list[Server], streams: list[str], points: int) -> None:
        super().__init__(name=f"job {number}")
        self.number = number
        self.servers = servers
        self.streams = streams
        self.points = points
        self.acknowledged: dict[tuple[str, str], int] = {}
        self.wrong: list[Any] = []
        self.retries = 0
        self._turns = itertools.count(number)

    def run(self) -> None:
        for n in range(self.points):
            try:
                self._one(n)
            except NeverAnswered as exc:
                self.wrong.append(exc)

    def _one(self, n: int) -> None:
        stream = self.streams[(self.number + n) % len(self.streams)]
        key = f"{self.number}-{n}"
        point = {"x": {"a": self.number, "b": n}, "y": self.number + 2.0 * n, "key": key}
        path = f"/api/v1/streams/{stream}/observations/"
        first = self.call("POST", path, point, 201)
        seq = first["first"]
        self.acknowledged[stream, key] = seq
        if n % AGAIN == 1:
            again = self.call("POST", path, point, 201)
            told = (again["first"], again["duplicates"], again["models"])
            self.hold(told == (seq, 1, first["models"]), "answered otherwise the second time", first, again)
        if n % AGAIN == 2:
            for model in first["models"]:
                there = f"/api/v1/models/{model}"
                predicted = self.call("POST", f"{there}/predict/", {"x": point["x"]}, 200)
                self.hold(predicted["at"] >= seq, "a prediction doesn't know what was learned", seq, predicted)
                metrics = self.call("GET", f"{there}/metrics/", None, 200)
                self.hold(metrics["at"] >= seq, "metrics don't know what was learned", seq, metrics)

    def call(self, method: str, path: str, body: Any, expected: int) -> Any:
        """What the first server to answer says; each call begins at the next one."""
        data = None if body is None else json.dumps(body)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            server = self.servers[next(self._turns) % len(self.servers)]
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            try:
                connection.request(method, path, data, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                self.retries += 1
                threading.Event().wait(0.02)
                continue
            finally:
                connection.close()
            if answer.status == expected:
                return content
            if answer.status != 503:
                self.hold(False, method, path, answer.status, content)
            self.retries += 1
            threading.Event().wait(0.02)
        raise NeverAnswered(f"{method} {path}")

    def hold(self, true: bool, *what: Any) -> None:
        if not true:
            self.wrong.append(what)


def acknowledged(jobs: list[Job]) -> int:
    """How many points were, so far."""
    return sum(len(job.acknowledged) for job in jobs)
