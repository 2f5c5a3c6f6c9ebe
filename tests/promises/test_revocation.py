"""What ends a caller's rights counts from their next request on, in every worker, whoever remembered them there."""

import base64
import contextlib
import http.client
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.serving import PATIENCE, Server

EACH = 3
"""Connections to each worker with each credential, at least."""

MOST = 40

CALLS: dict[str, tuple[str, Any]] = {
    "native learn": ("/api/v1/streams/s/observations/", {"x": {"a": 1.0}, "y": 2.0}),
    "native predict": ("/api/v1/models/m/predict/", {"x": {"a": 1.0}}),
    "riverapi learn": ("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": 2.0}),
    "riverapi predict": ("/api/predict/", {"model": "m", "features": {"a": 1.0}}),
    "a call that is wrong anyway": ("/api/learn/", {"model": 3}),
}


LEARNS = ("native learn", "riverapi learn")


class Line:
    """One connection that is kept open, and so belongs to one worker."""

    def __init__(self, server: Server, secret: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self.learned = 0
        self._connection.request("GET", "/healthz")
        answer = self._connection.getresponse()
        answer.read()
        # Request ids count up from a random start in each process.
        self.worker = answer.headers["X-Request-Id"][:8]

    def call(self, name: str) -> int:
        """The status of one call."""
        path, body = CALLS[name]
        with contextlib.suppress(BrokenPipeError):  # a refusal may be there before the body is sent
            self._connection.request("POST", path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        answer.read()
        self.learned += name in LEARNS and answer.status == 201
        return answer.status


def token(server: Server, user: str, *options: str) -> tuple[str, str]:
    """The number and the secret of a new token."""
    made = server.manage("create_token", user, "--create-user", *options)
    assert made.returncode == 0, made.stderr
    return made.stderr.split()[1], made.stdout.strip()


def access_token(server: Server, user: str, secret: str) -> str:
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    status, issued = server.get("/api/auth/token/", Authorization=f"Basic {basic}")
    assert status == 200
    return issued["token"]


def lines_to_both_workers(server: Server, secret: str) -> list[Line]:
    """Connections, some to each worker, over each of which every call was made."""
    assert server.process is not None
    children = psutil.Process(server.process.pid).children(recursive=True)
    workers = [
        process for process in children if any(c.status == psutil.CONN_LISTEN for c in process.net_connections())
    ]
    assert len(workers) == 2
    lines: list[Line] = []
    while min((reached := Counter(line.worker for line in lines)).values(), default=0) < EACH or len(reached) < 2:
        assert len(lines) < MOST, reached
        other = workers[len(lines) % 2]
        if server.environment["TAILRACE_SERVER"] == "gunicorn":  # granian's spread by themselves
            other.suspend()
        try:
            lines.append(Line(server, secret))
        finally:
            other.resume()
    for line in lines:
        assert [line.call(name) for name in CALLS] == [201, 200, 201, 201, 400]
    return lines


@pytest.fixture
def guarded(serve: Callable[..., Server], request: pytest.FixtureRequest) -> Server:
    return serve(server=request.param, workers=2, threads=8, auth="required", address_rate=0)


@pytest.fixture
def admin(guarded: Server) -> dict[str, str]:
    _, secret = token(guarded, "root", "--role", "admin")
    headers = {"Authorization": f"Bearer {secret}"}
    for path, body in (
        ("/api/v1/streams/", {"name": "s", "target": {"name": "y", "unit": "s"}}),
        ("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "mean"}),
    ):
        assert guarded.post(path, body, **headers)[0] == 201
    return headers


End = Callable[[Server, dict[str, str], str], int]


def revoke(server: Server, admin: dict[str, str], number: str) -> int:
    done = server.manage("revoke_token", number)
    assert done.returncode == 0, done.stderr
    return 401


def block(server: Server, admin: dict[str, str], number: str) -> int:
    assert server.post("/api/v1/users/ada/block/", {}, **admin)[0] == 200
    return 401


def lower(server: Server, admin: dict[str, str], number: str) -> int:
    assert server.request("PATCH", "/api/v1/users/ada/", {"role": "viewer"}, admin)[0] == 200
    return 403


@pytest.mark.parametrize(
    "guarded, end",
    [("gunicorn", revoke), ("granian", revoke), ("gunicorn", block), ("granian", lower)],
    indirect=["guarded"],
)
def test_the_very_next_request_is_refused_on_every_worker_and_nothing_is_learned(guarded, admin, end: End):
    number, secret = token(guarded, "ada")
    shown = (secret, access_token(guarded, "ada", secret))
    lines = [line for credential in shown for line in lines_to_both_workers(guarded, credential)]
    names = list(CALLS)

    with ThreadPoolExecutor(1) as another:
        ended = another.submit(end, guarded, admin, number)
        while not ended.done():  # the lines are in use all the while, so that no worker hangs up
            for line in lines:
                line.call(names[line.learned % len(names)])

    orders = [names[turn % len(names) :] + names[: turn % len(names)] for turn in range(len(lines))]
    answers = [[line.call(name) for name in order] for line, order in zip(lines, orders, strict=True)]
    assert answers == [[ended.result()] * len(CALLS)] * len(lines)
    learned = sum(line.learned for line in lines)
    assert guarded.get("/api/v1/streams/s/", **admin)[1]["head"] == learned
    assert guarded.get("/api/v1/models/m/metrics/", **admin)[1]["at"] == learned


@pytest.mark.parametrize(
    "guarded, path", [("gunicorn", "/api/v1/events/"), ("granian", "/api/stream/events/")], indirect=["guarded"]
)
def test_whoever_listens_to_events_hears_of_nothing_that_came_after(guarded, admin, path):
    number, secret = token(guarded, "ada")
    listening = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=PATIENCE)
    listening.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
    events = listening.getresponse()
    assert events.status == 200
    observations, body = "/api/v1/streams/s/observations/", {"x": {"a": 1.0}, "y": 1234.5}
    assert guarded.post(observations, body, **admin)[0] == 201
    heard = b""
    while b"1234.5" not in heard:
        heard = events.readline()
        assert heard

    revoke(guarded, admin, number)

    assert guarded.post(observations, {"x": {"a": 1.0}, "y": 5432.1}, **admin)[0] == 201
    rest = events.read()  # to its end, which comes at the next look
    assert b"5432.1" not in rest
    assert b"data:" not in rest
