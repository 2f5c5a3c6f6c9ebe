"""The system page: what an operator would look for in /metrics and /readyz."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from server.accounts import sessions
from server.accounts.caller import Caller
from server.core.db.database_state import NO_DATABASE, DatabaseState
from server.core.db.readiness import READINESS
from server.core.metrics import declarations, totals
from server.dashboard.views import system
from server.learning import registry as models
from server.learning.recipes import catalog
from server.learning.write_path import learn_points
from server.operations import process_gauges
from server.streams import registry as streams
from server.streams.points import Point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(READINESS, "state", lambda: DatabaseState("ready"))


def test_it_shows_processes_phases_counters_and_versions(browser):
    flavor, estimator, _ = catalog.build("mean", None)
    streams.create("s")
    models.create("m", "s", flavor, estimator)
    learn_points.learn(streams.find("s").pk, [Point({"a": 1.0}, 1.0)])
    process_gauges.update()
    page = browser.get("/system/")
    assert page.status == 200
    assert "Ready: the database responds and accepts writes." in page.text
    assert ("1 of " in page.text and "SQLite" in page.text) or "PostgreSQL" in page.text
    rows = [row.get_text(" ", strip=True) for row in page.html.select("tbody tr")]
    assert any(row.startswith("Write and commit") and " ms " in row for row in rows)
    facts = {dt.get_text(): dt.find_next("dd").get_text(" ", strip=True) for dt in page.html.select("dl.facts dt")}
    assert facts["Models"] == facts["Streams"] == "1"
    assert int(facts["Observations learned"].replace(",", "")) >= 1
    assert facts["river"] == "0.26.1"


def test_a_database_that_does_not_respond_is_said(browser, monkeypatch):
    monkeypatch.setattr(READINESS, "state", lambda: DatabaseState(NO_DATABASE, "the database hasn't responded for 3 s"))
    with CaptureQueriesContext(connection) as queries:
        page = browser.get("/system/")
    assert page.status == 200
    assert "Not ready (no_database): the database hasn't responded for 3 s" in page.text.replace("&#x27;", "'")
    assert len(queries) == 0


def test_it_takes_few_queries(browser):
    with CaptureQueriesContext(connection) as queries:
        assert browser.get("/system/").status == 200
    assert len(queries) <= 10


def test_it_needs_the_permission_to_read_and_all_streams(signed_in, monkeypatch):
    assert signed_in("new", "").get("/system/").status == 403
    browser = signed_in("ada", "viewer")
    assert browser.get("/system/").status == 200
    assert "/system/" in browser.get("/").links()
    caller = Caller(1, "ada", 0, frozenset({"read"}), streams=frozenset({"mine"}))
    monkeypatch.setattr(sessions, "caller_of", lambda request: caller)
    page = browser.get("/system/")
    assert page.status == 403
    assert "about the whole server" in page.text


def test_its_part_is_sent_only_if_it_changed(browser, monkeypatch):
    now = system._shown()  # the free space of a real disk changes all the time
    monkeypatch.setattr(system, "_shown", lambda: dict(now))
    version = browser.get("/system/").html.select_one("[data-version]")["data-version"]
    headers: dict[str, Any] = {"HTTP_HX_REQUEST": "true"}
    assert browser.client.get("/system/", **headers, HTTP_X_TAILRACE_VERSION=version).status_code == 204
    part = browser.client.get("/system/", **headers, HTTP_X_TAILRACE_VERSION="another")
    assert part.status_code == 200 and b"<html" not in part.content


def test_a_quantile_is_the_bound_of_its_bucket():
    declared = declarations.commit_seconds
    sums = {declared.name: {("fold", "0.001"): 98.0, ("fold", "0.5"): 2.0, ("fold", "sum"): 1.0}}
    assert totals.quantile(declared, ("fold",), 0.5, sums) == 0.001
    assert totals.quantile(declared, ("fold",), 0.99, sums) == 0.5
    assert totals.quantile(declared, ("lock",), 0.99, sums) is None
    assert totals.durations(declared, sums) == {("fold",): (100.0, 1.0)}
