"""The page that compares models over the same observations."""

import csv
import io
import json

import pytest

from server.dashboard.views.compare import COMPARED
from server.learning import registry
from server.learning.models import Model, RecordBlock
from server.streams.points import Point
from tests.dashboard.recorded import MARKUP, jobs, learn, model, stream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]


@pytest.fixture(autouse=True)
def _nothing_kept():
    COMPARED.clear()


@pytest.fixture
def world():
    stream(segment="kind")
    model("lin")
    model("run", recipe="runtime")
    learn("runs", jobs(300))


def rows(page, index=1):
    table = page.html.select("table")[index]
    return [[cell.get_text(" ", strip=True) for cell in row.select("td")] for row in table.select("tbody tr")]


def test_models_are_compared_with_a_sentence_a_curve_and_tables(world, browser):
    page = browser.get("/compare/?model=lin&model=run")
    assert page.status == 200
    assert "Use run. Over 299 observations that all 2 models predicted, run has the lowest RMSE" in page.text
    assert "95 % sure" in page.text
    found = {row[0].split()[0]: row for row in rows(page)}
    assert set(found) == {"lin", "run"}
    assert found["run"][0] == "run best" and found["run"][-1] == "–"
    low, high = (float(text) for text in found["lin"][-1].split(" to "))
    assert 0 < low <= float(found["lin"][-2]) <= high
    segments = rows(page, 2)
    assert {row[0] for row in segments} == {"1", "2"} and {row[2] for row in segments} == {"run"}
    assert page.html.select_one("figure#comparison svg.plot")
    assert [box["value"] for box in page.html.select("input[name=model][checked]")] == ["lin", "run"]


def test_the_curves_are_there_as_json_and_csv(world, browser):
    page = browser.get("/compare/?model=lin&model=run&first=101&last=200")
    url = page.html.select_one("figure#comparison")["data-chart"]
    data = json.loads(browser.get(url).response.content)
    assert [one["label"] for one in data["series"]] == ["lin", "run"]
    assert data["x"][0] >= 101 and data["x"][-1] == 200
    table = list(csv.reader(io.StringIO(browser.get(f"{url}&format=csv").response.content.decode())))
    assert table[0] == ["observation", "lin", "run"] and len(table) == len(data["x"]) + 1


def test_classifiers_are_compared_by_their_wrong_labels(browser):
    stream("labels", target_kind="category", target_unit="")
    for name, recipe in (("one", "hoeffding-tree-classifier"), ("two", "hoeffding-tree-classifier")):
        model(name, "labels", recipe)
    learn("labels", [Point({"size": p.x["size"]}, "long" if p.y > 200 else "short") for p in jobs(100)])
    page = browser.get("/compare/?model=one&model=two")
    assert "smallest share of wrong labels" in page.text and "can't be told from two" in page.text
    assert rows(page)[0][1].endswith("%")


@pytest.mark.parametrize(
    "query, said",
    [
        ("", "Choose its models"),
        ("?stream=runs", "Choose at least two models"),
        ("?model=lin", "Only lin is chosen: choose at least one other model"),
        ("?model=lin&model=lin", "Only lin is chosen"),
        ("?model=lin&model=gone", "There is no model named 'gone': it may have been deleted"),
        ("?model=gone&model=away", "Choose its models"),
        ("?model=lin&model=run&first=5000", "No observation was predicted and scored by all"),
        ("?model=lin&model=%3Cscript%3E", "There is no model named"),
        ("?" + "&".join(f"model=m{n}" for n in range(15)), "15 models are chosen, and at most 12"),
    ],
)
def test_what_is_missing_is_said(world, browser, query, said):
    page = browser.get(f"/compare/{query}")
    assert page.status == 200
    assert said in page.text
    assert page.html.find("script", string=True) is None


@pytest.mark.parametrize(
    "query, status, said",
    [
        ("?model=lin&model=run&first=x", 400, "expected a whole number"),
        ("?model=lin&model=run&first=9&last=3", 400, "expected first to be at most last"),
        ("?model=lin&model=other", 400, "of different streams (other, runs)"),
        ("?stream=none", 404, "o stream named"),
        ("?model=lin&model=clusters", 400, "whose predictions have no error"),
        ("?model=lin&model=labels", 400, "predict different things"),
    ],
)
def test_what_is_wrong_is_said(world, browser, query, status, said):
    stream("other")
    model("other", "other")
    Model.objects.filter(name="run").update(flavor="regression")
    if "clusters" in query:
        Model.objects.filter(pk=model("clusters").pk).update(flavor="cluster")
    if "labels" in query:
        Model.objects.filter(pk=model("labels").pk).update(flavor="multiclass")
    page = browser.get(f"/compare/{query}")
    assert (page.status, page.text.count(said)) == (status, 1), page.text


def test_a_model_that_began_later_is_judged_by_what_both_predicted(world, browser):
    model("late", recipe="runtime", backfill=False)
    page = browser.get("/compare/?model=lin&model=late")
    assert "nothing of late is recorded yet" in page.text
    learn("runs", jobs(5, 2))
    page = browser.get("/compare/?model=lin&model=late")
    assert "too few to be sure" in page.text
    registry.delete("late")
    assert "There is no model named" in browser.get("/compare/?model=lin&model=late").text


def test_new_observations_are_compared_at_once(world, browser):
    assert "Over 299 observations" in browser.get("/compare/?model=lin&model=run").text
    learn("runs", jobs(1, seed=9))
    assert "Over 300 observations" in browser.get("/compare/?model=lin&model=run").text


def test_a_damaged_record_is_said(world, browser):
    RecordBlock.objects.filter(model__name="run").update(columns=b"x")
    page = browser.get("/compare/?model=lin&model=run")
    assert page.status == 400 and "The server makes it again from the log" in page.text


def test_names_with_markup_are_shown_as_they_are(browser):
    stream(segment=MARKUP)
    model("lin")
    model("run", recipe="runtime")
    learn("runs", [Point({"size": float(n), MARKUP: 7}, 10.0 * n) for n in range(1, 40)])
    page = browser.get("/compare/?model=lin&model=run")
    assert MARKUP in page.text and not page.html.select("main b")


def test_a_person_limited_to_one_stream_sees_nothing_else(signed_in, world, only_stream):
    stream("secret")
    model("hidden", "secret")
    browser = signed_in("vera", "viewer")
    assert "secret" in browser.get("/compare/").text
    only_stream("runs")
    assert "secret" not in browser.get("/compare/").text
    page = browser.get("/compare/?model=lin&model=hidden")
    assert "There is no model named 'hidden'" in page.text and "secret" not in page.text
    assert browser.get("/compare/?stream=secret").status == 404
    assert browser.get("/compare/chart/?model=hidden").status == 404


def test_who_is_not_signed_in_is_asked_to(required, world, browser):
    assert browser.get("/compare/").status == 302
