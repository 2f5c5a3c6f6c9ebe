"""Whoever listens to events hears them for as long as they may, and not one more."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from django.test import Client

from server.accounts import jwt, roles, signins, tokens
from server.accounts.models import SignIn, Token
from server.api import events
from server.learning.write_path import learn_points
from server.streams import registry
from server.streams import registry as streams
from server.streams.points import Point
from tests.people import bearer, person

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("required")]

PATHS = ("/api/v1/events/", "/api/stream/events/")


@pytest.fixture
def ada() -> User:
    streams.create("s", target_kind="number")
    return person("ada", "viewer")


def learn(y: float) -> None:
    learn_points.learn(streams.find("s").pk, [Point({"a": 1.0}, y)])


HEARTBEAT = b":\n\n"


class Listener:
    """Somebody who listens, and has heard of what was learned before."""

    def __init__(self, secret: str, path: str = PATHS[0]) -> None:
        self.response = Client(headers=bearer(secret)).get(path)
        assert self.response.status_code == 200
        self._chunks: Iterator[bytes] = iter(self.response.streaming_content)
        next(self._chunks)  # the first heartbeat: from now on nothing is missed
        learn(1.5)
        assert b'"y":1.5' in self.heard()

    def heard(self) -> bytes:
        """What they hear next. PostgreSQL shows nothing while an older transaction of any database is open: heartbeats come first."""
        return next(chunk for chunk in self._chunks if chunk != HEARTBEAT)

    def rest(self) -> bytes:
        """All that they hear until it ends, which it does only if they are no longer let in."""
        return b"".join(self._chunks)


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners = []

    def begin(*args: Any) -> Listener:
        listeners.append(Listener(*args))
        return listeners[-1]

    yield begin
    for listener in listeners:
        listener.response.close()


ENDS: dict[str, Callable[[Token], Any]] = {
    "revoked": tokens.revoke,
    "expired": lambda token: Token.objects.filter(pk=token.pk).update(expires_at=datetime.now(UTC)),
    "deleted": lambda token: token.delete(),
    "user blocked": lambda token: User.objects.filter(pk=token.owner_id).update(is_active=False),
    "user deleted": lambda token: token.owner.delete(),
    "role taken away": lambda token: roles.assign(token.owner, ""),
    "groups deleted": lambda token: Group.objects.all().delete(),
    "scope taken away": lambda token: Token.objects.filter(pk=token.pk).update(scopes=["learn"]),
}


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("kind", ["token", "access token"])
def test_it_ends_with_the_token_and_tells_nothing_of_what_came_after(ada, listen, end, kind):
    token, secret = tokens.create(ada, "laptop")
    listener = listen(secret if kind == "token" else jwt.issue(tokens.verify(secret))["token"])
    ENDS[end](token)
    learn(2.5)
    assert listener.rest() == b""


def test_it_ends_with_the_sign_in(ada, listen):
    sign_in, _ = signins.begin(ada)
    listener = listen(jwt.issue(signins.verify_id(sign_in.pk), sign_in.pk)["token"])
    signins.end(SignIn.objects.get())
    learn(2.5)
    assert listener.rest() == b""


def test_it_ends_with_the_life_of_an_access_token(ada, listen, monkeypatch):
    _, secret = tokens.create(ada, "laptop")
    listener = listen(jwt.issue(tokens.verify(secret))["token"])
    clock = time.time

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(seconds=jwt.LIFETIME)

    monkeypatch.setattr(time, "time", lambda: clock() + jwt.LIFETIME)
    monkeypatch.setattr("jwt.api_jwt.datetime", Later)
    learn(2.5)
    assert listener.rest() == b""


def test_while_the_database_is_away_nothing_is_told_and_afterwards_nothing_is_missing(ada, listen, monkeypatch):
    token, secret = tokens.create(ada, "laptop")
    listener = listen(secret)
    plain, fails = registry.generation, [1, 2]

    def away() -> Any:
        if fails:
            fails.pop()
            raise OperationalError("the database went away")
        return plain()

    monkeypatch.setattr(registry, "generation", away)
    monkeypatch.setattr(events, "to_unavailable", lambda exc: None)  # it is there, in fact
    learn(2.5)
    assert b'"y":2.5' in listener.heard()
    assert fails == []
    tokens.revoke(token)
    assert listener.rest() == b""


def test_it_goes_on_whatever_becomes_of_others(ada, listen):
    token, secret = tokens.create(ada, "laptop")
    listener = listen(secret)
    eve = person("eve", "admin")
    other, _ = tokens.create(eve, "laptop")
    tokens.revoke(other)
    roles.assign(eve, "viewer")
    roles.assign(ada, "researcher")  # who may read, too
    learn(2.5)
    assert b'"y":2.5' in listener.heard()
    tokens.revoke(token)
    assert listener.rest() == b""


def test_what_was_read_before_the_revocation_is_not_told_after_it(ada, listen):
    token, secret = tokens.create(ada, "laptop")
    listener = listen(secret)
    for y in range(100, 140):
        learn(float(y))
    assert b'"y":100' in listener.heard()  # of rows that were read together
    tokens.revoke(token)
    assert listener.rest() == b""
