"""Parts of the page of a model: suspects that are chosen in the plot of its errors, and all segments at once."""

import json

import pytest

from server.learning import rehearsal
from tests.dashboard import recorded

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]


@pytest.fixture
def browser(signed_in):
    return signed_in()


@pytest.fixture
def runs(browser):
    """A stream with two segments, whose model has learned 120 jobs."""
    recorded.stream(segment="kind")
    recorded.model("runs-linear")
    recorded.learn("runs", recorded.jobs(120))


def test_suspects_are_chosen_among_the_errors_without_scripts(runs, browser):
    page = browser.get("/models/runs-linear/?show=residuals&x_from=30&x_to=33&first=10")
    assert page.html.find(id="seq")["value"] == "30-33"
    form = page.html.find(id="brush")
    assert form.find(attrs={"name": "first"})["value"] == "10", "the range of the page is kept"
    (sent,) = page.html.select('form[action="/streams/runs/suspects/"]')
    assert sent.find(attrs={"name": "model"})["value"] == "runs-linear"
    assert "4 observations chosen" in browser.get("/streams/runs/suspects/?model=runs-linear&seq=30-33").text
    by_size = browser.get("/models/runs-linear/parts/brushed/?feature=size&x_to=5&segment=1").html.find(id="seq")[
        "value"
    ]
    chosen = {n for part in by_size.split() for n in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)}
    found = json.loads(browser.get("/models/runs-linear/charts/residuals/?feature=size&segment=1").response.content)
    assert found["x"] == sorted(found["x"])
    assert chosen == {int(n) for n, x in zip(found["texts"]["observation"], found["x"], strict=True) if x <= 5}


@pytest.mark.parametrize(
    "query, said",
    [
        ("x_from=abc", "x_from is 'abc': expected a number"),
        ("x_from=-5&x_to=-1", "No scored observation is in this range"),
        ("feature=nope&x_from=1", "No scored observation is in this range"),
    ],
)
def test_a_range_of_suspects_that_is_none_says_so(runs, browser, query, said):
    assert said.lower() in browser.get(f"/models/runs-linear/parts/brushed/?{query}").html.get_text().lower()


def test_too_many_suspects_are_refused_with_a_sentence(runs, browser, monkeypatch):
    monkeypatch.setattr(rehearsal, "MOST_SUSPECTS", 5)
    shown = browser.get("/models/runs-linear/parts/brushed/?x_from=1").html.get_text()
    assert "observations are in this range: choose at most 5 at once" in shown


def test_all_segments_are_drawn_at_once(runs, browser):
    part = "/models/runs-linear/parts/segments/"
    for query in ("", "?curve=error", "?order=count", "?order=name"):
        page = browser.get(part + query)
        assert len(page.html.select(".small-charts li a svg .line")) == 2, query
    assert [one.get_text() for one in page.html.select(".small-charts a span:first-child")] == ["1", "2"]
    assert page.html.select_one(".small-charts a")["href"] == "/models/runs-linear/?segment=1"
    assert browser.get(f"{part}?order=best").status == 200
    assert "order is 'best': expected one of worst, count, name" in browser.get(f"{part}?order=best").html.get_text()
    (link,) = (one for one in page.links() if "format=csv" in one)
    lines = browser.get(link).response.content.decode().splitlines()
    assert lines[0] == "observation,RMSE,mean error,lowest error,highest error,kind"
    assert {line.rsplit(",", 1)[1] for line in lines[1:]} == {"1", "2"}
