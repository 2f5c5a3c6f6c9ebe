"""The overview: all streams and models at a glance."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from server.accounts import sessions
from server.accounts.caller import Caller
from server.learning import overview
from server.learning import registry as models
from server.learning.background import model_status
from server.learning.models import Model, ModelStatus
from server.learning.recipes import catalog
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.models import Batch, Stream
from server.streams.points import Point
from tests.dashboard.browser import Page

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _nobody_is_followed() -> None:
    model_status._trackers.clear()


def make(stream: str, *names: str, recipe: str = "linear", ys: Any = (1.0, 2.0, 4.0), **declared: Any) -> Stream:
    found = streams.create(stream, **declared) or streams.find(stream)
    for name in names:
        flavor, estimator, parameters = catalog.build(recipe, None)
        models.create(name, stream, flavor, estimator, recipe=recipe, parameters=parameters)
    if ys:
        learn_points.learn(streams.find(stream).pk, [Point({"a": float(n)}, y) for n, y in enumerate(ys)])
    model_status.write()
    return found


def cells(page: Page, column: str) -> list[str]:
    return [" ".join(cell.get_text(" ").split()) for cell in page.html.select(f'td[data-label="{column}"]')]


def names(page: Page) -> list[str]:
    return [cell.partition(" ")[0] for cell in cells(page, "Model")]


def test_a_model_is_shown_with_its_metric_in_the_unit_of_the_target(browser):
    make("runs", "m", target_name="t", target_unit="s")
    page = browser.get("/")
    assert page.status == 200
    status = ModelStatus.objects.get()
    assert cells(page, "Model") == ["m linear"]
    assert cells(page, "Stream") == ["runs"]
    assert cells(page, "State") == ["ready"]
    assert cells(page, "Observations") == ["3"]
    assert cells(page, "Metric") == [f"RMSE {status.value:.4g} s"]
    assert cells(page, "Rolling") == [f"{status.rolling:.4g} s"]
    assert "rolling RMSE: now" in page.html.select_one("svg.spark")["aria-label"]
    assert "1 model on 1 stream with 3 observations" in page.text


def test_the_curve_keeps_the_extremes():
    values = [1.0] * 500
    values[123], values[321] = 99.0, -99.0
    thinned = model_status.thinned([*values, 5.0], model_status.CURVE)
    assert len(thinned) <= model_status.CURVE
    assert thinned[-1] == 5.0 and {99.0, -99.0} <= set(thinned)
    assert thinned.index(99.0) < thinned.index(-99.0)
    assert model_status.thinned([1.0, 2.0], model_status.CURVE) == [1.0, 2.0]


def test_an_empty_server_shows_the_commands_that_fill_it(browser):
    page = browser.get("/")
    assert page.boxes[0].split()[:3] == ["tailrace", "create", "runtime"]
    assert len(page.boxes[0].strip().splitlines()) == 3
    assert not page.html.select("table")


def test_a_stream_without_a_model_is_a_row_and_is_said(browser):
    make("typo", ys=())
    page = browser.get("/")
    assert cells(page, "State") == ["without a model"]
    assert cells(page, "Last") == ["never"]
    assert "Streams that no model learns from: typo (0 observations)" in page.text


def test_what_is_wrong_with_a_model_is_seen_and_can_be_filtered(browser):
    stream = make("runs", "a", "b", "c", "d", "e")
    Model.objects.filter(name="b").update(status=Model.BACKFILLING, progress=1)
    Model.objects.filter(name="c").update(status=Model.FAILED, error="it <b>broke</b>")
    ModelStatus.objects.filter(model__name="d").update(last_skip=3, skipped=1, drift_at=2)
    Model.objects.filter(name="e").update(generation=2)
    Stream.objects.update(expected_every=60)
    Batch.objects.update(at=NOW - timedelta(hours=1))
    page = browser.get("/")
    assert cells(page, "State") == [
        "silent",
        "being backfilled silent 33.3 % 33.3 %",
        "failed silent Why it <b>broke</b>",
        "skip observations drift silent 1 skipped",
        "silent",
    ]
    assert cells(page, "Metric")[4] == "–", "the metrics are of an earlier generation"
    assert page.html.select_one("progress")["value"] == "33"
    Stream.objects.filter(pk=stream.pk).update(expected_every=None)
    assert names(browser.get("/?state=failed")) == ["c"]
    assert names(browser.get("/?state=attention")) == ["c", "d"]
    assert names(browser.get("/?state=ready")) == ["a", "d", "e"]
    assert "1 failed" in browser.get("/").text


def test_it_searches_sorts_and_pages_by_its_url(browser):
    make("runs", *(f"m{n:03}" for n in range(120)), ys=())
    make("other", "Zeta", ys=(1.0,))
    page = browser.get("/?sort=-model")
    assert names(page)[:2] == ["m119", "m118"] and len(names(page)) == 100
    assert page.html.select_one('th[aria-sort="descending"]').get_text().startswith("Model")
    following = next(link for link in page.links() if "page=2" in link)
    second = browser.get(following)
    assert len(names(second)) == 21 and names(second)[-1] == "Zeta"
    assert "101 to 121 of 121" in second.text
    assert names(browser.get("/?q=zETa")) == ["Zeta"]
    assert names(browser.get("/?q=OTHER")) == ["Zeta"]
    assert names(browser.get("/?sort=-last"))[0] == "Zeta"
    assert "No model or stream matches" in browser.get("/?q=nothing-like-it").text
    assert len(names(browser.get("/?page=nonsense"))) == 100
    assert len(names(browser.get("/?page=99999"))) == 21
    assert browser.get("/?q=%00zeta").status == 200


@pytest.mark.parametrize(
    "query, words",
    [
        ("state=nonsense", "State is 'nonsense': expected one of attention"),
        ("sort=size", "Sort is 'size': expected one of model"),
        ("q=" + "x" * 300, "has 300 characters: expected at most 200"),
    ],
)
def test_what_a_url_has_wrong_is_said_and_the_rest_is_shown(browser, query, words):
    make("runs", "m")
    page = browser.get(f"/?{query}")
    assert page.status == 400
    assert words.replace("'", '"') in page.text.replace("'", '"')
    assert names(page) == ["m"]


def test_names_with_markup_are_text(browser):
    Stream.objects.create(name='<script>alert("s")</script>', target_unit="<i>s</i>")
    page = browser.get("/")
    assert '<script>alert("s")</script>' in page.text
    assert not page.html.select("main script, main i")


def test_the_part_for_the_script_is_sent_only_if_it_changed(browser):
    make("runs", "m")
    version = browser.get("/").html.select_one("[data-version]")["data-version"]
    headers = {"HTTP_HX_REQUEST": "true", "HTTP_X_TAILRACE_VERSION": version}
    assert browser.client.get("/overview/", **headers).status_code == 204
    learn_points.learn(Stream.objects.get().pk, [Point({"a": 1.0}, 1.0)])
    answer = browser.client.get("/overview/", **headers)
    assert answer.status_code == 200
    assert b"<html" not in answer.content and version.encode() not in answer.content
    assert browser.client.get("/overview/?q=m").headers["Location"] == "/?q=m"


def test_who_is_not_signed_in_is_told_how_to(required, browser):
    make("secret-stream", "secret-model")
    page = browser.get("/")
    assert page.status == 200
    assert "/login/" in page.links()
    assert "secret" not in page.text
    part = browser.client.get("/overview/", HTTP_HX_REQUEST="true")
    assert (part.status_code, part.headers["HX-Refresh"]) == (204, "true"), "the page is loaded anew, and says how"


def test_who_has_no_role_is_told_to_ask_for_one(signed_in):
    make("secret-stream", "secret-model")
    browser = signed_in("new", "")
    assert "Ask an admin" in browser.get("/").text
    assert "secret" not in browser.get("/").text
    assert browser.get("/overview/").status == 403


def test_a_person_limited_to_one_stream_sees_that_there_is_nothing_else(signed_in, monkeypatch):
    make("mine", "my-model")
    make("theirs", "their-model")
    make("theirs-too", ys=())
    browser = signed_in("ada", "viewer")
    caller = Caller(1, "ada", 0, frozenset({"read"}), streams=frozenset({"mine"}))
    monkeypatch.setattr(sessions, "caller_of", lambda request: caller)
    for page in (browser.get("/"), browser.get("/?q=their"), browser.get("/?sort=-n&state=no-model")):
        assert "their" not in page.text
        assert "1 model on 1 stream with 3 observations" in page.text
    part = browser.client.get("/overview/", HTTP_HX_REQUEST="true").content.decode()
    assert "my-model" in part and "their" not in part


def test_while_the_database_fails_the_page_says_so(browser, monkeypatch):
    def fails(*args: Any) -> None:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(overview, "rows", fails)
    page = browser.get("/")
    assert page.status == 200
    assert "disk I/O error" in page.text
    assert browser.get("/overview/").status in (302, 503)
    assert browser.client.get("/overview/", HTTP_HX_REQUEST="true").status_code == 503


def test_a_rate_is_over_the_latest_commits_and_ends_when_nothing_comes():
    stream = Stream.objects.create(name="s", head=300)
    Batch.objects.bulk_create(
        Batch(
            stream=stream, last=10 * (n + 1), count=10, at=NOW - timedelta(seconds=29 - n), xs="[]", ys="[]", xid=n + 1
        )
        for n in range(30)
    )
    assert overview.rates([stream.pk], NOW) == {stream.pk: pytest.approx(10.0)}
    assert overview.rates([stream.pk], NOW + timedelta(minutes=5)) == {stream.pk: None}
    Batch.objects.filter(last__lte=200).delete()
    assert overview.rates([stream.pk], NOW) == {stream.pk: pytest.approx(10.0)}
    Batch.objects.filter(last__lt=300).delete()
    assert overview.rates([stream.pk], NOW) == {stream.pk: None}, "of one commit there is no rate"


def test_a_thousand_models_take_as_many_queries_as_one(browser):
    made = [Stream(name=f"s{n}", head=n) for n in range(50)]
    Stream.objects.bulk_create(made)
    found = [
        Model(name=f"m{n}", stream=made[n % 50], flavor="regression", recipe="linear", initial=b"") for n in range(1000)
    ]
    Model.objects.bulk_create(found)
    ModelStatus.objects.bulk_create(
        ModelStatus(
            model=model, generation=1, n=5, scored=5, skipped=0, metric="RMSE", value=1.0, rolling=2.0,
            curve=[float(v) for v in range(40)], snapshot_n=0, at=NOW,
        )
        for model in found
    )  # fmt: skip
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = browser.get("/?sort=-error")
    assert len(names(page)) == 100
    assert len(queries) <= 10
    assert "1,000 models on 50 streams" in page.text
