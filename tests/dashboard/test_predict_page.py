"""The page that predicts: the form of a stream's features, answers, warnings, the curve, and what is there to be copied."""

import json
import shlex
from urllib.parse import urlencode

import pytest

from server.learning.models import Model
from server.learning.predictions import predict_points
from server.streams.points import Point
from tests.dashboard.recorded import MARKUP, jobs, learn, model, stream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]
PAGE = "/models/run/predict/"


@pytest.fixture
def world():
    stream()
    model("run", recipe="runtime")
    model("lin")
    learn("runs", jobs(60))


def answers(page):
    rows = page.html.select("table")[0].select("tbody tr")
    return {
        row.select("td")[0].get_text(strip=True): [c.get_text(" ", strip=True) for c in row.select("td")[1:]]
        for row in rows
    }


def value(page, label):
    field = page.html.find("label", string=label)
    return page.html.find(id=field["for"])["value"]


def test_the_form_begins_with_the_latest_observation(world, browser):
    page = browser.get(PAGE)
    last = jobs(60)[-1].x
    assert page.status == 200
    assert [float(value(page, name)) for name in last] == list(last.values())
    assert "1.0" in page.text or "so far" in page.text
    assert set(answers(page)) == {"run", "lin"}
    assert value(page, "size") == json.dumps(last["size"])


def test_models_answer_side_by_side_with_intervals(world, browser):
    x = {"size": 4.5, "nodes": 2, "kind": 1}
    page = browser.get(f"{PAGE}?{urlencode({f'x.{name}': v for name, v in x.items()})}&also=lin&level=0.9")
    found = predict_points.predict("run", [x], level=0.9)
    prediction, interval, at = answers(page)["run"]
    assert float(prediction) == pytest.approx(found.predictions[0], rel=1e-3)
    assert [float(part) for part in interval.split(" to ")] == pytest.approx(found.intervals[0], rel=1e-3)
    assert at == "60" and answers(page)["lin"][1] == "–"
    assert "90 % interval" in page.text
    page = browser.get(f"{PAGE}?x.size=4.5")
    assert set(answers(page)) == {"run"}, "no other model is chosen"


@pytest.mark.parametrize(
    "query, said",
    [
        ("x.size=99&x.nodes=1&x.kind=1", "outside"),
        ("x.size=4", "missing"),
        ("x.size=4&x.nodes=1&x.kind=1&more=extra%3D7", "extra"),
        ("x.size=4&x.nodes=1&x.kind=1&x.other=1", "other"),
    ],
)
def test_a_point_that_is_unfamiliar_is_said(world, browser, query, said):
    page = browser.get(f"{PAGE}?{query}")
    assert page.status == 200
    assert said in page.html.select_one("#answers-title ~ .message").get_text()


def test_a_curve_goes_over_one_feature(world, browser):
    page = browser.get(f"{PAGE}?x.size=4&x.nodes=2&x.kind=1&also=lin&sweep=size&from=2&to=8&points=7")
    url = page.html.select_one("figure#sweep")["data-chart"]
    data = json.loads(browser.get(url).response.content)
    assert data["x"] == [2, 3, 4, 5, 6, 7, 8]
    assert [one["style"] for one in data["series"]] == ["low", "high", "line", "line"]
    expected = predict_points.predict("run", [{"size": n, "nodes": 2, "kind": 1} for n in data["x"]]).predictions
    assert data["series"][2]["values"] == pytest.approx(expected)
    assert browser.get(f"{url}&format=csv").response.content.startswith(b"size,run: 0.95 from,")
    page = browser.get(f"{PAGE}?x.size=4&x.nodes=2&x.kind=1&sweep=nodes")
    url = page.html.select_one("figure#sweep")["data-chart"]
    assert json.loads(browser.get(url).response.content)["x"] == [1, 2, 3, 4], "a whole number stays whole"


@pytest.mark.parametrize(
    "query, field, said",
    [
        ("x.size=abc", "x-0", "expected a number"),
        ("x.size=1e999", "x-0", "expected a number"),
        ("x.size=1&more=nonsense", "more", "expected name=value"),
    ],
)
def test_a_wrong_value_is_said_at_its_field(world, browser, query, field, said):
    page = browser.get(f"{PAGE}?{query}")
    assert page.status == 400
    assert said in page.error_at(field)
    assert browser.get(f"/models/run/predict/chart/?{query}&sweep=size").status == 400


@pytest.mark.parametrize(
    "query, said",
    [
        ("level=2", "Level is '2'"),
        ("sweep=none", "expected a feature that is a number"),
        ("sweep=size&from=9&to=1", "expected the first to be less"),
        ("sweep=size&points=100000", "expected a whole number from 2 to 200"),
        ("sweep=size&from=x", "expected a number"),
        ("base=0", "expected a whole number"),
    ],
)
def test_a_wrong_parameter_is_said(world, browser, query, said):
    page = browser.get(f"{PAGE}?x.size=4&x.nodes=1&x.kind=1&{query}")
    assert page.status == 400 and said in page.text


def test_a_stream_without_observations_takes_features_by_name(browser):
    stream()
    model("run", recipe="runtime")
    page = browser.get(PAGE)
    assert page.status == 200 and "has no observation yet" in page.text
    page = browser.get(f"{PAGE}?more=size%3D4%0D%0Akind%3D1")
    assert answers(page)["run"][0] == "0"
    assert "No feature is given" in browser.get(f"{PAGE}?more=").text


def test_one_observation_has_no_range_to_draw_over(browser):
    stream()
    model("run", recipe="runtime")
    learn("runs", jobs(1))
    assert browser.get(f"{PAGE}?x.size=4&sweep=size").status == 200


def test_declared_features_have_their_kinds(browser):
    stream(features={"size": "number", "fast": "boolean", "pair": "category"})
    model("run", recipe="runtime")
    page = browser.get(PAGE)
    assert [option.get_text() for option in page.html.select("select[name='x.fast'] option")] == [
        "(left out)",
        "true",
        "false",
    ]
    page = browser.get(f"{PAGE}?x.size=1&x.fast=maybe&x.pair=7")
    assert "Expected true or false" in page.text or page.status == 400


def test_models_that_cannot_answer_say_why(world, browser):
    Model.objects.filter(name="lin").update(status=Model.FAILED)
    page = browser.get(f"{PAGE}?x.size=4&x.nodes=1&x.kind=1&also=lin")
    assert "could not learn the stream's history" in answers(page)["lin"][0]
    assert browser.get("/models/none/predict/").status == 404


def test_names_and_texts_in_any_script_and_with_markup(browser):
    stream()
    model("run", recipe="mean")
    model("two", recipe="mean")
    learn("runs", [Point({MARKUP: MARKUP, "größe=": 1.5, "数": n % 2 == 0, "007": "007"}, 1.0) for n in range(5)])
    page = browser.get(PAGE)
    assert not page.html.select("main b") and value(page, MARKUP) == MARKUP
    sent = {f"x.{name}": value for name, value in ((MARKUP, MARKUP), ("größe=", "1.5"), ("数", "true"), ("007", "007"))}
    page = browser.get(f"{PAGE}?{urlencode(sent)}")
    assert page.status == 200 and not page.html.select("#answers-title ~ .message.error"), page.text
    body = shlex.split(page.boxes[0].replace("\\\n", " "))[-1]
    assert json.loads(body)["x"] == {MARKUP: MARKUP, "größe=": 1.5, "数": True, "007": "007"}


def test_three_thousand_features_have_a_hundred_fields(browser):
    stream()
    model("run")
    learn("runs", [Point({f"f{i}": float(i) for i in range(3000)}, 1.0) for _ in range(3)])
    page = browser.get(PAGE)
    assert len(page.html.select("input[name^='x.']")) == 100
    assert "2,900 more features: they are as in observation 3" in page.text
    query = urlencode({f"x.f{i}": float(i) for i in range(100)})
    page = browser.get(f"{PAGE}?{query}&base=2")
    assert page.status == 200 and "missing" not in page.text


def test_who_may_not_predict_sees_no_form(signed_in, world):
    assert signed_in("vera", "viewer").get(PAGE).status == 403


def test_a_person_limited_to_one_stream_sees_nothing_else(signed_in, world, only_stream):
    browser = signed_in()
    assert "$TAILRACE_TOKEN" in browser.get(PAGE).boxes[0]
    only_stream("other")
    assert browser.get(PAGE).status == 404
    assert browser.get("/models/run/predict/chart/?sweep=size").status == 404
