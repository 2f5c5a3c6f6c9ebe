"""When a token was last used: said of those that were let in, at no cost to the request."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from server.accounts import jwt, last_used, signins, tokens
from server.accounts.models import Token
from server.streams import registry
from server.streams import registry as streams
from tests.people import bearer, person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("required")]

POINT = {"x": {"a": 1.0}, "y": 2.0}
OBSERVATIONS = "/api/v1/streams/s/observations/"


@pytest.fixture(autouse=True)
def _nothing_noted() -> None:
    last_used._used.clear()


@pytest.fixture
def made() -> tuple[Token, str]:
    streams.create("s", target_kind="number")
    return tokens.create(person("ada"), "laptop")


def last_use(token: Token) -> datetime | None:
    token.refresh_from_db()
    return token.last_used_at


def learn(secret: str) -> int:
    return Client(headers=bearer(secret)).post(OBSERVATIONS, POINT, "application/json").status_code


def test_a_use_is_written_down_to_the_minute(made, django_assert_num_queries):
    token, secret = made
    assert learn(secret) == 201  # looked up
    assert last_use(token) is None
    last_used.flush()
    assert datetime.now(UTC) - last_use(token) < timedelta(minutes=1)

    Token.objects.update(last_used_at=datetime.now(UTC) - timedelta(hours=1))
    assert learn(secret) == 201  # remembered
    last_used.flush()
    first = last_use(token)
    assert datetime.now(UTC) - first < timedelta(minutes=1)

    assert learn(secret) == 201
    with django_assert_num_queries(1):  # one look, and no write
        last_used.flush()
    assert last_use(token) == first


def test_a_call_of_any_kind_is_a_use(made):
    token, secret = made
    assert Client(headers=bearer(secret)).get("/api/v1/streams/").status_code == 200
    last_used.flush()
    assert last_use(token) is not None


def test_where_nobody_came_nothing_is_asked(made, django_assert_num_queries):
    with django_assert_num_queries(0):
        last_used.flush()


def test_an_access_token_is_a_use_of_the_token_that_it_stands_for(made):
    token, secret = made
    assert learn(jwt.issue(tokens.verify(secret))["token"]) == 201
    last_used.flush()
    assert last_use(token) is not None


def test_whoever_was_not_let_in_used_nothing(made):
    token, secret = made
    assert learn(secret) == 201
    last_used._used.clear()
    tokens.revoke(token)
    assert learn(secret) == 401  # though this process remembered it
    last_used.flush()
    assert last_use(token) is None


def test_people_have_no_token_to_note(made, django_assert_num_queries):
    sign_in, _ = signins.begin(made[0].owner)
    assert learn(jwt.issue(signins.verify_id(sign_in.pk), sign_in.pk)["token"]) == 201
    with django_assert_num_queries(0):
        last_used.flush()


def test_a_note_is_no_change_to_what_anybody_may(made):
    _, secret = made
    assert learn(secret) == 201
    before = registry.generation()
    last_used.flush()
    assert registry.generation() == before


def test_it_is_written_now_and_then(made, monkeypatch):
    token, secret = made
    now: Any = [1000.0]
    monkeypatch.setattr(last_used.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(last_used, "_flushed_at", 1000.0)
    assert learn(secret) == 201
    last_used.flush_if_due()
    assert last_use(token) is None
    now[0] += last_used.FLUSH_INTERVAL
    last_used.flush_if_due()
    assert last_use(token) is not None
