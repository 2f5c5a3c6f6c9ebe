"""The audit trail over the native API: filtered, in pages, exported."""

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from server.accounts import audit_query
from server.accounts.models import AuditEntry
from server.core import audit_signals
from tests.accounts.calls import anonymous, signed_in, with_token
from tests.api_client import refused
from tests.people import person

pytestmark = pytest.mark.django_db

AUDIT = "/api/v1/audit/"


@pytest.fixture
def ten() -> None:
    """Ten entries of the command line, number 1 on the thing of number 1."""
    for number in range(1, 11):
        audit_signals.send("model.create", f"m{number}", after={"n": number})


def numbers(page: dict[str, Any]) -> list[int]:
    return [entry["number"] for entry in page["entries"]]


def streamed(response: Any) -> bytes:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def rows(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(streamed(response).decode(), newline="")))


# Who


def test_an_entry_tells_who_did_what_from_where_and_by_which_token(admin, root):
    program = with_token(root)
    response = program.client.post(
        "/api/v1/streams/",
        {"name": "s", "target": {"name": "y"}},
        "application/json",
        headers={"X-Request-Id": "mine-1"},
        REMOTE_ADDR="10.1.2.3",
    )
    assert response.status_code == 201
    newest = admin.ok(AUDIT)["entries"][0]
    at = datetime.fromisoformat(newest.pop("at"))
    assert 0 <= (datetime.now(UTC) - at).total_seconds() < 60
    assert len(newest.pop("hash")) == 64
    assert newest.pop("after")["target"]["name"] == "y"
    assert newest == {
        "number": AuditEntry.objects.count(),
        "user": "root",
        "token": root.tokens.get().pk,
        "address": "10.1.2.3",
        "request_id": "mine-1",
        "action": "stream.create",
        "target": "s",
        "before": None,
    }


@pytest.mark.parametrize("role", ["", "viewer", "researcher", "moderator"])
def test_admins_alone_read_it(required, role):
    for query in ("", "?format=csv", "?format=ndjson"):
        refused(signed_in(person(f"ada{len(query)}", role)).get(AUDIT + query), 403)
        refused(anonymous().get(AUDIT + query), 401)


@pytest.mark.parametrize("scopes, status", [(["read"], 200), (["learn"], 403), (["predict"], 403), (["manage"], 403)])
def test_an_admins_token_reads_it_with_the_scope_read(root, scopes, status):
    assert with_token(root, scopes).get(AUDIT).status_code == status


@pytest.mark.parametrize("method", ["post", "patch", "delete"])
def test_nobody_changes_it(admin, ten, method):
    before = list(AuditEntry.objects.values())
    calls = {
        "post": lambda: admin.post(AUDIT, {}),
        "patch": lambda: admin.patch(AUDIT, {}),
        "delete": lambda: admin.delete(AUDIT),
    }
    refused(calls[method](), 405)
    assert list(AuditEntry.objects.values()) == before


# Pages and filters


def test_it_comes_in_pages_the_newest_first(ten):
    caller = anonymous()
    first = caller.ok(AUDIT + "?limit=4")
    second = caller.ok(f"{AUDIT}?limit=4&before={first['next']}")
    third = caller.ok(f"{AUDIT}?limit=4&before={second['next']}")
    assert (numbers(first), numbers(second), numbers(third)) == ([10, 9, 8, 7], [6, 5, 4, 3], [2, 1])
    assert (first["next"], second["next"], third["next"]) == (7, 3, None)
    assert caller.ok(AUDIT + "?limit=10")["next"] is None
    assert numbers(caller.ok(AUDIT + "?before=1")) == []
    assert numbers(caller.ok(AUDIT)) == list(range(10, 0, -1))


def test_it_is_filtered_by_who_what_and_on_what(admin, ten):
    admin.ok("/api/v1/users/", {"user": "ada"}, 201)
    assert [entry["target"] for entry in admin.ok(AUDIT + "?user=root&action=user.create")["entries"]] == ["ada"]
    assert admin.ok(AUDIT + "?user=(command line)&action=user.create")["entries"] == []
    assert [entry["after"] for entry in admin.ok(AUDIT + "?target=m3")["entries"]] == [{"n": 3}]
    assert len(admin.ok(AUDIT + "?action=model.create")["entries"]) == 10
    assert admin.ok(AUDIT + "?action=model")["entries"] == []
    assert admin.ok(AUDIT + "?target=%25")["entries"] == []
    assert [entry["target"] for entry in admin.ok(AUDIT + "?action=model.create&limit=2")["entries"]] == ["m10", "m9"]


def test_it_is_filtered_by_time_from_this_and_before_that(db, monkeypatch):
    from server.accounts import audit

    class Clock(datetime):
        hour_now = 0

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 11, 21, cls.hour_now, 0, 0, 5, tzinfo=tz)

    monkeypatch.setattr(audit, "datetime", Clock)
    for Clock.hour_now in range(8, 13):
        audit_signals.send("model.create", f"at {Clock.hour_now}")
    caller = anonymous()

    def targets(query: str) -> list[str]:
        return [entry["target"] for entry in caller.ok(AUDIT + query)["entries"]]

    assert targets("?from=2026-11-21T11:00:00.000005Z") == ["at 12", "at 11"]
    assert targets("?from=2026-11-21T11:00:00.000006Z") == ["at 12"]
    assert targets("?to=2026-11-21T09:00:00.000005Z") == ["at 8"]
    assert targets("?from=2026-11-21T09:00:00Z&to=2026-11-21T11:00:00Z") == ["at 10", "at 9"]
    assert targets("?from=2026-11-21T12:00:00%2B01:00&to=2026-11-21t12:00:00z") == ["at 11"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query, field",
    [
        ("before=0", "before"),
        ("before=x", "before"),
        ("before=-1", "before"),
        ("before=9223372036854775808", "before"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("format=xml", "format"),
        ("format=", "format"),
        ("from=2026-11-21", "from"),
        ("from=2026-11-21T08:00:00", "from"),
        ("from=2026-11-21T08:00:00+01:00", "from"),
        ("from=2026-13-21T08:00:00Z", "from"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("to=yesterday", "to"),
        ("to=", "to"),
        ("user=a%00b", "user"),
        ("target=" + "x" * 301, "target"),
        ("since=1", "since"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_its_field(ten, query, field):
    refused(anonymous().get(f"{AUDIT}?{query}"), 400, field)


# Export


def test_ndjson_holds_every_entry_as_a_page_does(ten):
    caller = anonymous()
    response = caller.get(AUDIT + "?format=ndjson")
    assert response.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert 'filename="audit.ndjson"' in response.headers["Content-Disposition"]
    assert [json.loads(line) for line in streamed(response).splitlines()] == caller.ok(AUDIT)["entries"]


def test_csv_holds_every_entry(ten):
    response = anonymous().get(AUDIT + "?format=csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    found = rows(response)
    assert [row["number"] for row in found] == [str(n) for n in range(10, 0, -1)]
    assert list(found[0]) == list(audit_query.COLUMNS)
    assert (found[0]["user"], found[0]["action"], found[0]["target"]) == ("(command line)", "model.create", "m10")
    assert (found[0]["before"], found[0]["after"], found[0]["token"]) == ("", '{"n":10}', "")


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_an_export_takes_the_same_filters_and_bounds(ten, kind):
    caller = anonymous()
    caller.ok("/api/v1/streams/", {"name": "s", "target": {"name": "y"}}, 201)
    query = f"{AUDIT}?format={kind}&action=model.create&before=9&limit=3"
    text = streamed(caller.get(query)).decode()
    found = (
        list(csv.DictReader(io.StringIO(text))) if kind == "csv" else [json.loads(line) for line in text.splitlines()]
    )
    assert [int(entry["number"]) for entry in found] == [8, 7, 6]


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
@pytest.mark.parametrize("limit", [None, 1, 3, 4, 8, 9, 10, 11, 10**12])
def test_an_export_is_whole_however_much_is_read_at_a_time(ten, monkeypatch, kind, limit):
    monkeypatch.setattr(audit_query, "AHEAD", 4)
    query = "" if limit is None else f"&limit={limit}"
    lines = streamed(anonymous().get(f"{AUDIT}?format={kind}{query}")).splitlines()
    assert len(lines) == min(10, limit or 10) + (kind == "csv")


def test_an_empty_trail_exports_nothing_but_the_names(db):
    assert streamed(anonymous().get(AUDIT + "?format=ndjson")) == b""
    assert streamed(anonymous().get(AUDIT + "?format=csv")).decode().split(",")[0] == "number"
    assert anonymous().ok(AUDIT) == {"entries": [], "next": None}


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=cmd|"/c calc"!A1'])
def test_no_cell_is_a_formula_to_a_spreadsheet(db, formula):
    audit_signals.send("model.create", formula, after=formula)
    audit_signals.send("model.create", "plain", before=-1)
    plain, found = rows(anonymous().get(AUDIT + "?format=csv"))
    assert found["target"] == f"'{formula}"
    assert found["after"] == json.dumps(formula, ensure_ascii=False)
    assert (plain["target"], plain["before"]) == ("plain", "'-1")
    assert anonymous().ok(AUDIT)["entries"][1]["target"] == formula


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_an_export_takes_no_more_memory_for_a_longer_trail(db, kind):
    def peak(entries: int) -> int:
        AuditEntry.objects.bulk_create(
            AuditEntry(
                number=first + n,
                at="2026-11-21T08:00:00.000000+00:00",
                action="a",
                target="t",
                after='"' + "x" * 300 + '"',
            )
            for n in range(entries)
        )
        response = anonymous().get(f"{AUDIT}?format={kind}")
        tracemalloc.start()
        try:
            for _ in response.streaming_content:
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    first = 1
    short = peak(1000)
    first = 1001
    assert peak(9000) < 1.5 * short


@pytest.mark.parametrize("query", ["", "&limit=1000000"])
def test_an_export_is_read_some_entries_at_a_time_whatever_the_limit(ten, monkeypatch, query):
    monkeypatch.setattr(audit_query, "AHEAD", 4)
    with CaptureQueriesContext(connection) as captured:
        streamed(anonymous().get(AUDIT + "?format=ndjson" + query))
    assert len(captured) == 3
    assert all("LIMIT 5" in one["sql"] for one in captured)


def test_a_database_that_fails_half_way_breaks_the_answer_off(ten, monkeypatch):
    monkeypatch.setattr(audit_query, "AHEAD", 4)
    response = anonymous().get(AUDIT + "?format=ndjson")
    chunks = iter(response.streaming_content)
    assert len(next(chunks).splitlines()) == 4
    monkeypatch.setattr(audit_query, "page", _fails)
    with pytest.raises(Exception, match="the database doesn't respond"):
        next(chunks)


def _fails(*args: Any) -> Any:
    raise DatabaseError("gone")
