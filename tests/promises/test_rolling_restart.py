"""A rolling restart under load: every server is replaced, one after the other, and no client notices.

As Kubernetes does it with `maxUnavailable: 0` and a pause before the stop: a new server joins once it is ready, the old one gets
no new connections from then on, and then a SIGTERM.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tailrace import Client

from tests.instances import Service, instances
from tests.promises.folding import everything, folded
from tests.serving import PATIENCE, Server, fresh_database

pytestmark = pytest.mark.postgresql

PATH = "/api/v1/streams/s/observations/"
JSON = {"Content-Type": "application/json"}
KINDS: tuple[dict[str, Any], ...] = (
    {"server": "gunicorn", "workers": 1, "threads": 8},
    {"server": "granian", "workers": 1, "threads": 8},
)
AT_LEAST = 5
"""Requests of every client between two steps of the restart."""

PACE = 0.01
"""Seconds between two requests of a client: the servers that start need the CPU, too."""


class Caller(threading.Thread):
    """Posts one point after another until it is told to stop.

    Attributes
    ----------
    acknowledged
        Key to the number that the point was given.
    failures
        Requests that the caller saw fail.
    """

    def __init__(self, name: str, post: Callable[[dict[str, Any]], int], enough: threading.Event) -> None:
        super().__init__(name=name)
        self.acknowledged: dict[str, int] = {}
        self.failures: list[Any] = []
        self._post = post
        self._enough = enough

    def run(self) -> None:
        while not self._enough.wait(PACE):
            n = len(self.acknowledged)
            key = f"{self.name}-{n}"
            try:
                self.acknowledged[key] = self._post({"x": {"a": len(key), "b": n}, "y": 2.0 * n, "key": key})
            except Exception as exc:
                self.failures.append(exc)
                return


def by_our_client(service: Service) -> Callable[[dict[str, Any]], int]:
    """As a job's last line does it, with a look at the model by somebody's notebook; nothing may be kept for later."""
    client = Client(service.url)
    model = client.model("m")

    def post(point: dict[str, Any]) -> int:
        posted = client.post("s", point["x"], point["y"], key=point["key"], strict=True, deadline=PATIENCE)
        assert posted.number is not None
        seen = model.predict(point["x"]).at
        assert seen >= posted.number, f"{posted.number} was acknowledged, then {seen} answered"
        return posted.number

    return post


def by_kept_connections(service: Service, retries: list[Any]) -> Callable[[dict[str, Any]], int]:
    """As a program does it that keeps its connection, and retries."""
    again = urllib3.Retry(total=8, backoff_factor=0.05, status_forcelist=(503,), allowed_methods=None)
    pool = urllib3.PoolManager(retries=again, timeout=PATIENCE)

    def post(point: dict[str, Any]) -> int:
        answer = pool.request("POST", service.url + PATH, body=json.dumps(point), headers=JSON)
        assert answer.retries is not None
        retries.extend(answer.retries.history)
        return _number(answer.status, answer.data)

    return post


def without_retries(service: Service) -> Callable[[dict[str, Any]], int]:
    """A new connection for each request, and none of them a second time."""

    def post(point: dict[str, Any]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
        try:
            connection.request("POST", PATH, json.dumps(point), JSON)
            answer = connection.getresponse()
            return _number(answer.status, answer.read())
        finally:
            connection.close()

    return post


def _number(status: int, content: bytes) -> int:
    assert status == 201, (status, content)
    return int(json.loads(content)["first"])


def until_all_went_on(callers: list[Caller]) -> None:
    """Wait until every client has had some more answers, or one has failed."""
    goals = [len(caller.acknowledged) + AT_LEAST for caller in callers]
    deadline = time.monotonic() + 2 * PATIENCE
    while any(len(caller.acknowledged) < goal for caller, goal in zip(callers, goals, strict=True)):
        assert [caller.failures for caller in callers if caller.failures] == []
        assert time.monotonic() < deadline, {caller.name: len(caller.acknowledged) for caller in callers}
        threading.Event().wait(0.01)


def test_every_server_is_replaced_under_load_and_no_client_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path / "spool"))
    enough = threading.Event()
    with fresh_database("rolling") as database, instances(tmp_path, database, *KINDS) as servers:
        assert servers[0].post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
        assert servers[0].post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})[0] == 201
        with Service([server.port for server in servers]) as service:
            retries: list[Any] = []
            ways = {
                "ours": [by_our_client(service) for _ in range(2)],
                "kept": [by_kept_connections(service, retries) for _ in range(4)],
                "once": [without_retries(service) for _ in range(2)],
            }
            callers = [
                Caller(f"{way}-{n}", post, enough) for way, posts in ways.items() for n, post in enumerate(posts)
            ]
            try:
                for caller in callers:
                    caller.start()
                for number, old in enumerate(list(servers)):
                    new = Server(tmp_path / f"new-{number}", database, **KINDS[number])
                    servers.append(new)
                    new.start()
                    service.add(new.port)
                    service.remove(old.port)
                    until_all_went_on(callers)
                    assert old.stop() in (0, -15)
                    until_all_went_on(callers)
                    if KINDS[number]["server"] == "gunicorn":
                        assert retries == [], "gunicorn hangs up after an answer that says so, and never instead of one"
            finally:
                enough.set()
                for caller in callers:
                    caller.join(PATIENCE)
        assert [caller.failures for caller in callers if caller.failures] == []
        assert not list((tmp_path / "spool").rglob("*.json"))

        log = everything(servers[-1], "s")
        acknowledged = {key: seq for caller in callers for key, seq in caller.acknowledged.items()}
        assert {observation["key"]: observation["seq"] for observation in log} == acknowledged
        assert [observation["seq"] for observation in log] == list(range(1, len(log) + 1))
        expected = folded(log)
        served = servers[-1].get("/api/v1/models/m/metrics/")[1]["metrics"]
        assert {name: served[name] for name in expected} == expected
