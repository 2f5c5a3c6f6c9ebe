"""The page of the audit trail."""

import csv
import json

import pytest

from server.accounts import audit
from server.accounts.models import AuditEntry
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from tests.dashboard.browser import Browser, Page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def trail(signed_in) -> Browser:
    """An admin's browser, and 60 changes to streams."""
    browser = signed_in("ada", "admin")
    with transaction_for_writing():
        for n in range(60):
            audit_signals.send("stream.create", f"s{n}", after={"name": f"s{n}"})
    return browser


def numbers(page: Page) -> list[int]:
    return [int(cell.get_text()) for cell in page.html.select("td[data-label='No.']")]


def body(page: Page) -> str:
    return b"".join(page.response.streaming_content).decode()


def test_it_shows_the_newest_first_a_page_at_a_time(trail):
    newest = trail.get("/audit/")
    assert numbers(newest) == list(range(61, 11, -1))
    older = next(link for link in newest.links() if "before=" in link)
    second = trail.get(f"/audit/{older}")
    assert numbers(second) == list(range(11, 0, -1))
    assert not [link for link in second.links() if "before=" in link]
    assert "login" in second.text


def test_it_shows_what_was_changed_and_by_whom(trail):
    page = trail.get("/audit/?action=login")
    [row] = page.html.select("tbody tr")
    text = row.get_text(" ", strip=True)
    assert "ada 192.0.2.7 login ada" in text
    assert '"by":"password"' in text
    assert "request " in text


@pytest.mark.parametrize(
    "query, count",
    [
        ("user=ada", 1),
        ("user=nobody", 0),
        ("action=stream.create&target=s7", 1),
        ("from=2020-01-01T00:00:00Z&action=login", 1),
        ("from=2020-01-01T00:00&action=login", 1),
        ("to=2020-01-01", 0),
        ("from=2099-01-01T00:00:00", 0),
        ("to=2099-01-01T00:00:00%2B02:00&user=ada", 1),
    ],
)
def test_it_filters(trail, query, count):
    assert len(numbers(trail.get(f"/audit/?{query}"))) == count


def test_filters_go_with_the_next_page_and_with_the_export(trail):
    page = trail.get("/audit/?action=stream.create")
    older = next(link for link in page.links() if "before=" in link)
    assert numbers(trail.get(f"/audit/{older}")) == list(range(11, 1, -1))
    export = next(link for link in page.links() if link.endswith("ndjson"))
    assert len(body(trail.get(export)).splitlines()) == 60


@pytest.mark.parametrize(
    "query, field",
    [("from=yesterday", "from"), ("to=2026-13-45", "to"), ("user=a%00b", "user"), ("target=" + "x" * 301, "target")],
)
def test_a_filter_that_cannot_be_understood_is_refused_beside_its_field(trail, query, field):
    page = trail.get(f"/audit/?{query}")
    assert page.status == 400
    assert page.error_at(field)
    assert not numbers(page)


@pytest.mark.parametrize("before", ["-1", "x", "1" * 19, "1.5"])
def test_a_page_that_cannot_be_is_refused(trail, before):
    page = trail.get(f"/audit/?before={before}")
    assert page.status == 400
    assert "expected the number of an entry" in page.text


def test_it_is_exported_whole_as_lines_of_json(trail):
    page = trail.get("/audit/export/?format=ndjson")
    assert page.response.headers["Content-Type"] == "application/x-ndjson"
    assert 'filename="tailrace-audit.ndjson"' in page.response.headers["Content-Disposition"]
    entries = [json.loads(line) for line in body(page).splitlines()]
    assert [entry["number"] for entry in entries] == list(range(61, 0, -1))
    assert entries[-1] == json.loads(json.dumps(audit.as_dict(AuditEntry.objects.get(number=1))))


def test_it_is_exported_as_a_table(trail):
    page = trail.get("/audit/export/?format=csv&action=login")
    header, row = csv.reader(body(page).splitlines())
    assert dict(zip(header, row, strict=True))["user"] == "ada"


def test_an_export_with_a_filter_that_cannot_be_understood_is_refused(trail):
    assert trail.get("/audit/export/?from=yesterday").status == 400


def test_what_others_chose_is_shown_as_text(trail):
    with transaction_for_writing():
        audit_signals.send("stream.create", "<img src=x>", after={"description": "<script>alert(1)</script>"})
    page = trail.get("/audit/?target=%3Cimg%20src=x%3E")
    assert "<script>alert(1)</script>" in page.text
    assert not page.html.select("main script, script:not([src]), main img")
