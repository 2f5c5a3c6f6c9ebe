"""What ends a caller's rights counts from their next request on, in every worker, whoever remembered them there."""

import base64
import contextlib
import functools
import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.people import bearer, made_on
from tests.serving import PATIENCE, Server, fresh_database

EACH = 3
"""Connections to each worker with each credential, at least."""

MOST = 40

CALLS: dict[str, tuple[str, Any]] = {
    "native learn": ("/api/v1/streams/{own}/observations/", {"x": {"a": 1.0}, "y": 2.0}),
    "native predict": ("/api/v1/models/{own}/predict/", {"x": {"a": 1.0}}),
    "riverapi learn": ("/api/learn/", {"features": {"a": 1.0}, "ground_truth": 2.0}),
    "riverapi predict": ("/api/predict/", {"features": {"a": 1.0}}),
    "a call that is wrong anyway": ("/api/learn/", {"model": 3}),
}
"""Each of the caller's own stream and model."""


LEARNS = ("native learn", "riverapi learn")


class Line:
    """One connection that is kept open, and so belongs to one worker."""

    def __init__(self, server: Server, own: str, secret: str) -> None:
        self._own = own
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
        content = json.dumps(
            {"model": self._own, **body} if path.startswith(("/api/learn/", "/api/predict/")) else body
        )
        with contextlib.suppress(BrokenPipeError):  # a refusal may be there before the body is sent
            self._connection.request("POST", path.format(own=self._own), content, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        self.learned += name in LEARNS and answer.status == 201
        return answer.status

    def close(self) -> None:
        self._connection.close()


def access_token(server: Server, user: str, secret: str) -> str:
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    status, issued = server.get("/api/auth/token/", Authorization=f"Basic {basic}")
    assert status == 200
    return issued["token"]


def lines_to_both_workers(server: Server, own: str, secret: str) -> list[Line]:
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
            lines.append(Line(server, own, secret))
        finally:
            other.resume()
    for line in lines:
        assert [line.call(name) for name in CALLS] == [201, 200, 201, 201, 400]
    return lines


class Guarded(NamedTuple):
    """A server whose people are made, each with a stream and a model of the same name."""

    server: Server
    admin: dict[str, str]
    people: Iterator[tuple[str, str, str]]
    """Name, number of the token and its secret: of somebody else for each test."""


@contextlib.contextmanager
def started(kind: str, directory: Path) -> Iterator[Guarded]:
    settings = {"server": kind, "workers": 2, "threads": 8, "auth": "required", "address_rate": 0}
    with fresh_database("revocation") as database:
        server = Server(directory, database, **settings).start()
        try:
            made = made_on(server, root="admin", ada="researcher", eve="researcher", grace="researcher")
            admin = bearer(made.pop("root")[1])
            for name in made:
                for path, body in (
                    ("/api/v1/streams/", {"name": name, "target": {"name": "y", "unit": "s"}}),
                    ("/api/v1/models/", {"name": name, "stream": name, "recipe": "mean"}),
                ):
                    assert server.post(path, body, **admin)[0] == 201
            yield Guarded(server, admin, iter([(name, str(number), secret) for name, (number, secret) in made.items()]))
        finally:
            server.stop()


def of_granian(value: object) -> Any:
    """A parameter beside that server, which need not be tried again on PostgreSQL."""
    return pytest.param("granian", value, marks=pytest.mark.one_database)


@pytest.fixture(scope="module")
def of_each_kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Guarded]]:
    """One server of each kind for all tests, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(
            lambda kind: stack.enter_context(started(kind, tmp_path_factory.mktemp("guarded") / "var"))
        )


@pytest.fixture
def guarded(request: pytest.FixtureRequest, of_each_kind: Callable[[str], Guarded]) -> Guarded:
    return of_each_kind(request.param)


End = Callable[[Guarded, str, str], int]


def revoke(guarded: Guarded, name: str, number: str) -> int:
    done = guarded.server.manage("revoke_token", number)
    assert done.returncode == 0, done.stderr
    return 401


def block(guarded: Guarded, name: str, number: str) -> int:
    assert guarded.server.post(f"/api/v1/users/{name}/block/", {}, **guarded.admin)[0] == 200
    return 401


def lower(guarded: Guarded, name: str, number: str) -> int:
    path, body = f"/api/v1/users/{name}/", {"role": "viewer"}
    assert guarded.server.request("PATCH", path, body, guarded.admin)[0] == 200
    return 403


@pytest.mark.parametrize(
    "guarded, end",
    [("gunicorn", revoke), of_granian(revoke), ("gunicorn", block), of_granian(lower)],
    indirect=["guarded"],
)
def test_the_very_next_request_is_refused_on_every_worker_and_nothing_is_learned(guarded, end: End):
    server, admin = guarded.server, guarded.admin
    name, number, secret = next(guarded.people)
    shown = (secret, access_token(server, name, secret))
    lines = [line for credential in shown for line in lines_to_both_workers(server, name, credential)]
    names = list(CALLS)

    with ThreadPoolExecutor(1) as another:
        ended = another.submit(end, guarded, name, number)
        while not ended.done():  # the lines are in use all the while, so that no worker hangs up
            for line in lines:
                line.call(names[line.learned % len(names)])

    orders = [names[turn % len(names) :] + names[: turn % len(names)] for turn in range(len(lines))]
    answers = [[line.call(call) for call in order] for line, order in zip(lines, orders, strict=True)]
    assert answers == [[ended.result()] * len(CALLS)] * len(lines)
    learned = sum(line.learned for line in lines)
    assert server.get(f"/api/v1/streams/{name}/", **admin)[1]["head"] == learned
    assert server.get(f"/api/v1/models/{name}/metrics/", **admin)[1]["at"] == learned
    for line in lines:
        line.close()


@pytest.mark.parametrize(
    "guarded, path", [("gunicorn", "/api/v1/events/"), of_granian("/api/stream/events/")], indirect=["guarded"]
)
def test_whoever_listens_to_events_hears_of_nothing_that_came_after(guarded, path):
    server, admin = guarded.server, guarded.admin
    name, number, secret = next(guarded.people)
    listening = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    listening.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
    events = listening.getresponse()
    assert events.status == 200
    observations, body = f"/api/v1/streams/{name}/observations/", {"x": {"a": 1.0}, "y": 1234.5}
    assert server.post(observations, body, **admin)[0] == 201
    heard = b""
    while b"1234.5" not in heard:
        heard = events.readline()
        assert heard

    revoke(guarded, name, number)

    assert server.post(observations, {"x": {"a": 1.0}, "y": 5432.1}, **admin)[0] == 201
    rest = events.read()  # to its end, which comes at the next look
    assert b"5432.1" not in rest
    assert b"data:" not in rest
