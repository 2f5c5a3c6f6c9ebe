"""Searches whose filters take long are stopped, are few at a time, and no page of them takes more memory than a page may."""

import threading
import time
from typing import Any

import pytest
from django.db import connection

from server.core.db.query_limit import QueryTooSlow, time_limit
from server.tracking import reading
from server.tracking.filters import limits
from tests.api_client import Api
from tests.mlflow.request_list import API

SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
    "postgresql": "SELECT COUNT(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
}


def read_for_long() -> None:
    with connection.cursor() as cursor:
        cursor.execute(SLOW[connection.vendor])


def answers() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return int(cursor.fetchone()[0])


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_a_query_that_takes_too_long_is_stopped_and_the_next_one_on_its_connection_is_not() -> None:
    with pytest.raises(QueryTooSlow, match=r"stopped after 0\.2 s: ask for less"), time_limit(0.2, "ask for less"):
        read_for_long()
    assert answers() == 1
    with time_limit(0.2, "ask for less"):
        assert answers() == 1
    with pytest.raises(QueryTooSlow), time_limit(0.4, "ask for less"):  # the limit before is no longer valid
        read_for_long()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone()[0] == "0"


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_a_long_search_takes_a_slot_and_a_short_one_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUICK", 0.1)
    monkeypatch.setattr(limits, "SECONDS", 0.3)
    most = limits.SEARCHING.limits()[1]
    for _ in range(most):
        limits.SEARCHING.take(7)
    try:
        assert limits.search(7, answers) == 1
        with pytest.raises(Exception, match="long searches under way") as refused:
            limits.search(7, read_for_long)
        assert refused.value.status == 429
    finally:
        for _ in range(most):
            limits.SEARCHING.release(7)
    with pytest.raises(QueryTooSlow, match="fewer conditions"):
        limits.search(7, read_for_long)
    assert not limits.SEARCHING.by_caller


@pytest.mark.django_db
def test_every_search_is_limited(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> Any:
        raise QueryTooSlow("the query was stopped")

    api.ok(f"{API}runs/create", {"experiment_id": "0"})
    monkeypatch.setattr(limits, "search", stopped)
    for path, body in (
        (f"{API}runs/search", {"experiment_ids": ["0"]}), (f"{API}experiments/search", {}),
        (f"{API}logged-models/search", {"experiment_ids": ["0"]}), ("/api/v1/runs/search/", {}),
    ):  # fmt: skip
        assert api.post(path, body).status_code == 413, path
    pages = (f"{API}registered-models/search", f"{API}model-versions/search", "/api/v1/runs/", "/experiments/0/")
    for path in pages:
        answer = api.get(path)
        assert answer.status_code == 413 or b"the query was stopped" in answer.content, path


@pytest.mark.django_db
def test_a_page_of_large_things_ends_early_and_the_next_one_goes_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"run {number:02}" for number in range(60)]
    for name in names:
        tags = [{"key": "text", "value": "x" * 1_000}]
        api.ok(f"{API}runs/create", {"experiment_id": "0", "run_name": name, "tags": tags})
    monkeypatch.setattr(reading, "MOST_BYTES", 20_000)
    monkeypatch.setattr(reading, "_FIRST", 5)
    monkeypatch.setattr("server.api.mlflow.paging.FIRST_PART", 5)
    monkeypatch.setattr("server.api.mlflow.paging.LARGE", 4_000)
    monkeypatch.setattr(reading, "_LARGE", 4_000)
    found, pages, token = [], 0, None
    while pages == 0 or token:
        body = {"experiment_ids": ["0"], "max_results": 1_000, "order_by": ["run_name"]}
        page = api.ok(f"{API}runs/search", {**body, **({"page_token": token} if token else {})})
        found += [one["info"]["run_name"] for one in page["runs"]]
        pages, token = pages + 1, page.get("next_page_token")
    assert found == names and 2 < pages < 15
    for order in ([], ["run_name DESC"]):
        found, pages, after = [], 0, None
        while pages == 0 or after:
            page = api.ok("/api/v1/runs/search/", {"order": order, "limit": 1_000, "after": after})
            found += [one["name"] for one in page["runs"]]
            pages, after = pages + 1, page["next"]
        assert found == names[::-1] and 2 < pages < 15


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_a_limit_that_ends_while_another_thread_reads_stops_nothing_there() -> None:
    done = threading.Event()

    def other() -> None:
        with pytest.raises(QueryTooSlow), time_limit(0.1, "ask for less"):
            read_for_long()
        connection.close()
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    until = time.monotonic() + 60
    while not done.is_set() and time.monotonic() < until:
        assert answers() == 1
    thread.join()
    assert done.is_set()
