"""What authentication costs the calls that load is made of: no statement more than without it."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg2.extensions
import pytest
from django.db import connection
from django.test import Client
from river import linear_model

from server.accounts import jwt, tokens
from server.learning import registry as models
from server.streams import registry as streams
from tests.people import bearer, person, secret_of

pytestmark = pytest.mark.django_db(transaction=True)

CALLS = {
    "native predict": ("/api/v1/models/m/predict/", {"x": {"a": 1.0}}),
    "riverapi predict": ("/api/predict/", {"model": "m", "features": {"a": 1.0}, "identifier": False}),
    "native learn": ("/api/v1/streams/s/observations/", {"x": {"a": 1.0}, "y": 2.0}),
    "riverapi learn": ("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": 2.0}),
}
"""The read that finds the model or the stream tells of the callers, too."""


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement that reaches the database on this thread's connection, as its driver sends it."""
    seen: list[str] = []
    connection.ensure_connection()
    driver: Any = connection.connection
    if connection.vendor == "sqlite":
        driver.set_trace_callback(seen.append)
        try:
            yield seen
        finally:
            driver.set_trace_callback(None)
        return

    class Recording(psycopg2.extensions.cursor):
        def execute(self, query: Any, values: Any = None) -> None:
            super().execute(query, values)
            seen.append(self.query.decode())

    usual, driver.cursor_factory = driver.cursor_factory, Recording
    try:
        yield seen
    finally:
        driver.cursor_factory = usual


def ask(client: Client, name: str) -> list[str]:
    """The statements of one call, which must be good, without what is different each time; what is prepared is a SELECT."""
    path, body = CALLS[name]
    with statements() as seen:
        response = client.post(path, json.dumps(body), "application/json")
    assert response.status_code in (200, 201), response.content
    return [statement.split()[0].replace("EXECUTE", "SELECT") for statement in seen]


@pytest.fixture
def clients(settings: Any) -> dict[str, Client]:
    """Nobody where nobody is asked, and callers with each kind of credential where everybody is."""
    streams.create("s", target_kind="number")
    models.create("m", "s", "regression", linear_model.LinearRegression())
    ada = person("ada")
    secret = secret_of(ada)
    limited = secret_of(ada, ["learn", "predict"], ["s"])
    access = jwt.issue(tokens.verify(secret))["token"]
    return {
        "open": Client(),
        "token": Client(headers=bearer(secret)),
        "limited token": Client(headers=bearer(limited)),
        "access token": Client(headers=bearer(access)),
    }


@pytest.mark.parametrize("name", list(CALLS))
def test_a_known_caller_costs_no_statement(clients, settings, name):
    ask(clients["open"], name)  # loads the model
    without = ask(clients["open"], name)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "required"})
    for kind in ("token", "limited token", "access token"):
        first = ask(clients[kind], name)
        assert len(first) > len(without), kind  # they are looked up once
        assert ask(clients[kind], name) == without, kind


@pytest.mark.parametrize("name", ["native predict", "riverapi predict"])
def test_predict_makes_one_read_and_that_is_all(clients, settings, name):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "required"})
    ask(clients["token"], name)
    assert ask(clients["token"], name) == ["SELECT"]


def test_they_are_looked_up_again_once_after_anybody_s_rights_changed(clients, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "required"})
    for _ in range(2):
        ask(clients["token"], "native predict")
    person("eve")  # whoever is given a role might be the caller
    assert ask(clients["token"], "native predict") == ["SELECT"] * 3  # the model; the caller and what they may
    assert ask(clients["token"], "native predict") == ["SELECT"]
