"""The same change of an account asked for many times at once, of several processes: it happens once."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.people import made_on
from tests.serving import PATIENCE, Server

pytestmark = pytest.mark.database

TOGETHER = 12
PASSWORD = "a hill of 12 stones"
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    data: Any
    cookie: str


class World:
    """A server with three admins: each has a token, and ``root`` a password."""

    def __init__(self, server: Server) -> None:
        self.server = server
        admins = made_on(server, root="admin", ada="admin", grace="admin")
        self.secrets = {name: secret for name, (_, secret) in admins.items()}
        made = self.call("POST", "/api/v1/users/", {"user": "vera", "password": PASSWORD}, "root")
        assert made.status == 201, made.data

    def call(self, method: str, path: str, body: Any = None, user: str = "", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        if user:
            headers["Authorization"] = f"Bearer {self.secrets[user]}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {**JSON, **headers})
            response = connection.getresponse()
            content = response.read()
            cookie = (response.headers.get("Set-Cookie") or "").partition(";")[0]
            return Answer(response.status, json.loads(content) if content else None, cookie)
        finally:
            connection.close()

    def audited(self, action: str) -> list[Any]:
        return self.call("GET", f"/api/v1/audit/?action={action}&limit=1000", user="root").data["entries"]


def together(*calls: Callable[[], Answer]) -> list[Answer]:
    """Make all these calls at the same instant."""
    barrier = threading.Barrier(len(calls))

    def one(call: Callable[[], Answer]) -> Answer:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


@pytest.fixture
def world(serve: Callable[..., Server]) -> World:
    return World(serve(auth="required", workers=2, threads=8, address_rate=0))


def test_whatever_is_asked_for_a_dozen_times_at_once_happens_once(world):
    # Rotations of one token
    number = world.call("GET", "/api/v1/me/", user="ada").data["token"]["id"]
    answers = together(*[lambda: world.call("POST", f"/api/v1/tokens/{number}/rotate/", {}, "ada")] * TOGETHER)
    assert statuses(answers) == {201: 1, 409: TOGETHER - 1}
    assert len(world.audited("token.rotate")) == 1

    # Rotations of one refresh token
    begun = world.call("POST", "/api/v1/signin/", {"user": "vera", "password": PASSWORD})
    assert begun.status == 200
    refresh = [lambda: world.call("POST", "/api/v1/signin/refresh/", {}, Cookie=begun.cookie)] * TOGETHER
    answers = together(*refresh)
    assert statuses(answers) == {200: 1, 409: TOGETHER - 1}
    (winner,) = (answer for answer in answers if answer.status == 200)
    assert world.call("POST", "/api/v1/signin/refresh/", {}, Cookie=winner.cookie).status == 200

    # New users of one name
    answers = together(*[lambda: world.call("POST", "/api/v1/users/", {"user": "jobs"}, "root")] * TOGETHER)
    assert statuses(answers) == {201: 1, 409: TOGETHER - 1}

    # Blocking one user
    answers = together(*[lambda: world.call("POST", "/api/v1/users/vera/block/", user="root")] * TOGETHER)
    assert statuses(answers) == {200: TOGETHER}
    assert len(world.audited("user.block")) == 1

    # Revocations of one token
    answers = together(*[lambda: world.call("DELETE", f"/api/v1/tokens/{number}/", user="root")] * TOGETHER)
    assert statuses(answers) == {204: TOGETHER}
    assert len(world.audited("token.revoke")) == 1

    # Of everything, all at once: nothing waits for what waits for it
    others = [
        lambda: world.call("POST", "/api/v1/tokens/", {"name": "more"}, "root"),
        lambda: world.call("POST", "/api/v1/users/jobs/block/", user="root"),
        lambda: world.call("POST", "/api/v1/users/jobs/unblock/", user="grace"),
        lambda: world.call("PATCH", "/api/v1/users/jobs/", {"role": "viewer"}, "grace"),
        lambda: world.call("PATCH", "/api/v1/users/jobs/", {"role": "researcher"}, "root"),
        lambda: world.call("POST", "/api/v1/users/vera/password/", user="grace"),
    ]
    assert set(statuses(together(*others * 3))) <= {200, 201, 204}

    verified = world.server.manage("verify_audit")
    assert verified.returncode == 0, verified.stderr


def test_admins_who_block_or_demote_one_another_at_once_leave_one(world):
    def admins() -> set[str]:
        users = {user["user"]: user for user in world.call("GET", "/api/v1/users/", user="root").data["users"]}
        return {name for name, user in users.items() if user["active"] and user["role"] == "admin"}

    answers = together(
        lambda: world.call("POST", "/api/v1/users/ada/block/", user="grace"),
        lambda: world.call("POST", "/api/v1/users/grace/block/", user="ada"),
    )
    assert 200 in statuses(answers)
    assert len(admins() - {"root"}) == 1
    (left,) = admins() - {"root"}
    answers = together(
        lambda: world.call("PATCH", f"/api/v1/users/{left}/", {"role": "viewer"}, "root"),
        lambda: world.call("PATCH", "/api/v1/users/root/", {"role": "viewer"}, left),
    )
    assert sum(answer.status == 200 for answer in answers) == 1
    remaining = "root" if answers[0].status == 200 else left
    listed = world.call("GET", "/api/v1/users/", user=remaining).data["users"]
    assert [user["user"] for user in listed if user["active"] and user["role"] == "admin"] == [remaining]
    for path, body in (("", {"role": "viewer"}), ("block/", None)):
        method = "POST" if path else "PATCH"
        refused = world.call(method, f"/api/v1/users/{remaining}/{path}", body, remaining)
        assert refused.status == (403 if path else 409), refused.data
