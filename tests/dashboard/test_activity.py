"""The activity page: what happens, as it happens, and from where one was."""

import time
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from server.accounts import sessions
from server.accounts.caller import Caller
from server.learning import activity
from tests.api_client import Api
from tests.dashboard.browser import Page

# On PostgreSQL events are told when no older transaction is open in any database of the server, as tests/api/test_events.py proves:
# beside other tests, that may take a while.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]


@pytest.fixture
def happened(api: Api) -> Api:
    """Two streams with models; one has learned, predicted, labeled and retracted."""
    for name in ("s", "t"):
        api.ok("/api/v1/streams/", {"name": name, "target": {"name": "y"}}, 201)
        api.ok("/api/v1/models/", {"name": f"m-{name}", "stream": name, "recipe": "mean"}, 201)
    for n in range(3):
        api.ok("/api/v1/streams/s/observations/", {"x": {"a": n}, "y": 1.5 * n}, 201)
    api.ok("/api/v1/streams/t/observations/", {"x": {"a": 1}, "y": 7.25}, 201)
    api.ok("/api/v1/models/m-s/predict/", {"x": {"a": 2}, "identifier": "job-<1>"})
    api.ok("/api/v1/predictions/job-%3C1%3E/label/", {"y": 9.5})
    shown(lambda: b"9.5" in Client().get("/activity/?kind=label").content)
    return api


def shown(is_there: Callable[[], bool]) -> None:
    """Wait until events are shown: PostgreSQL holds them back while an older transaction of any database is open."""
    ends = time.monotonic() + 30
    while not is_there():
        assert time.monotonic() < ends
        time.sleep(0.05)


def lines(page: Page) -> list[str]:
    """Kind, stream, observations and what, of each row."""
    rows = ([" ".join(cell.get_text(" ").split()) for cell in row.select("td")] for row in page.html.select("tbody tr"))
    return [" | ".join(row[1:]) for row in rows if len(row) > 1]


def test_the_latest_come_first_with_what_models_predicted(happened, browser):
    found = lines(browser.get("/activity/"))
    assert found[0] == "label | s | 4 | y = 9.5, m-s predicted 1.5"
    assert "predict | s | after 3 | m-s predicted 1.5 job-<1>" in found
    assert "learn | t | 1 | y = 7.25, m-t predicted 0" in found or "learn | t | 1 | y = 7.25" in found
    assert found[-1].startswith("new model | s")
    assert len(found) == 8
    assert not [link for link in browser.get("/activity/").html.select("main a") if not link.get_text(strip=True)]


@pytest.mark.parametrize(
    "query, kinds",
    [
        ("kind=label", ["label"]),
        ("kind=predict", ["predict"]),
        ("stream=t", ["learn", "new model"]),
        ("stream=t&kind=learn", ["learn"]),
        ("kind=retract", []),
        ("stream=t&kind=predict", []),
    ],
)
def test_it_filters_by_its_url(happened, browser, query, kinds):
    assert [line.partition(" |")[0] for line in lines(browser.get(f"/activity/?{query}"))] == kinds


def test_it_goes_on_where_one_was(happened, browser):
    page = browser.get("/activity/")
    onward = page.html.select_one("#onward")["href"]
    assert "Nothing has happened since" in browser.get(onward).text
    happened.ok("/api/v1/streams/t/observations/", {"x": {"a": 1}, "y": 8.0}, 201)
    shown(lambda: bool(lines(browser.get(onward))))
    assert [line.split(" | ")[:3] for line in lines(browser.get(onward))] == [["learn", "t", "2"]]
    first = lines(browser.get("/activity/?after=0"))
    assert [line.partition(" |")[0] for line in first if "new model" not in line] == [
        "learn", "learn", "learn", "learn", "predict", "label", "learn",
    ]  # fmt: skip
    of_label = next(link["href"] for link in page.html.select('td[data-label="Time"] a'))
    assert lines(browser.get(of_label))[0].startswith("label | s | 4")


def test_many_are_read_a_page_at_a_time(happened, browser, monkeypatch):
    monkeypatch.setattr(activity, "MOST", 2)
    seen, where = [], "/activity/?after=0&kind=learn"
    for _ in range(5):
        page = browser.get(where)
        seen += lines(page)
        where = page.html.select_one("#onward")["href"]
        if page.html.select_one("#onward").get_text() != "Next":
            break
    assert len(seen) == len(set(seen)) == 4


def test_a_retraction_is_told_with_its_reason(happened, browser):
    happened.ok("/api/v1/streams/s/observations/2/retract/", {"reason": "<b>wrong unit</b>"}, 202)
    page = browser.get("/activity/?kind=retract")
    assert lines(page) == ["retract | s | 2 | <b>wrong unit</b>"]
    assert not page.html.select("main td b")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query, status, words",
    [
        ("kind=nonsense", 400, "expected one of learn, label, predict"),
        ("after=nonsense", 400, "expected a position"),
        ("stream=nonsense", 404, "No stream named"),
        ("stream=%00", 404, "No stream named"),
    ],
)
def test_a_wrong_url_is_explained(happened, browser, query, status, words):
    page = browser.get(f"/activity/?{query}")
    assert page.status == status
    assert words in page.text


def test_an_empty_server_says_so(browser):
    assert "Nothing has happened yet" in browser.get("/activity/").text
    assert "Nothing has happened since" in browser.get("/activity/?after=0").text


def test_a_person_limited_to_one_stream_sees_that_there_is_nothing_else(happened, signed_in, monkeypatch):
    browser = signed_in("ada", "viewer")
    caller = Caller(1, "ada", 0, frozenset({"read"}), streams=frozenset({"t"}))
    monkeypatch.setattr(sessions, "caller_of", lambda request: caller)
    for query in ("", "?after=0"):
        page = browser.get(f"/activity/{query}")
        assert {line.split(" | ")[1] for line in lines(page)} == {"t"}
        assert [option.get_text() for option in page.html.select("#stream option")] == ["all", "t"]
    assert browser.get("/activity/?stream=s").status == 404


def test_its_queries_do_not_grow_with_what_happened(happened, browser):
    for n in range(30):
        happened.ok("/api/v1/streams/t/observations/", {"x": {"a": n}, "y": 1.0}, 201)
    for query in ("", "?after=0", "?stream=t"):
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(f"/activity/{query}").status == 200
        assert len(queries) <= 15, [query["sql"][:80] for query in queries]
