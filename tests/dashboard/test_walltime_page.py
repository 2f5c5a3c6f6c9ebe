"""The page of wall times: the same answer as the client's, every format, and the ledger."""

import json
import random
from urllib.parse import urlencode

import numpy as np
import pytest
from tailrace import walltime as client
from tailrace.durations import FORMATS, format_duration

from server.dashboard import wall_times
from server.dashboard.views import walltime as pages
from server.dashboard.views.walltime import JOBS
from server.learning.models import Model, RecordBlock
from server.learning.predictions import predict_points
from server.learning.records import calibration, ledger
from server.streams.points import Note, Point
from tests.dashboard.recorded import MARKUP, jobs, learn, model, record, stream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]
PAGE = "/models/run/walltime/"
JOB = "x.size=4.5&x.nodes=2&x.kind=1"
X = {"size": 4.5, "nodes": 2, "kind": 1}


@pytest.fixture(autouse=True)
def _nothing_kept():
    JOBS.clear()


@pytest.fixture
def world():
    stream()
    model("run", recipe="runtime")
    rng = random.Random(3)
    learn("runs", [Point(p.x, p.y, Note(source={"asked": p.y * rng.uniform(0.9, 4)})) for p in jobs(300)])


class Handle:
    """A model as the client's function takes it, on the same replica."""

    name = "run"

    def __init__(self, unit):
        self.unit = unit

    def predict(self, x, level):
        found = predict_points.predict("run", [x], level=level)
        low, high = found.intervals[0] if found.intervals else (None, None)
        answer = type("Answer", (), {"value": found.predictions[0], "low": low, "high": high, "at": found.at})
        answer.unit, answer.warnings = self.unit, ()
        return answer


def shown(page):
    rows = page.html.select("#time-title ~ .scrolls tbody tr")
    return {row.select("td")[0].get_text(): row.select("td")[1].get_text() for row in rows}


@pytest.mark.parametrize(
    "terms", [{}, {"quantile": 0.99}, {"quantile": 0.51, "percent": 12.5}, {"percent": 10, "seconds": 30}]
)
def test_it_gives_the_answer_of_the_client_in_every_format(world, browser, terms):
    page = browser.get(f"{PAGE}?{JOB}&{urlencode(terms)}")
    margin = client.Margin(terms.get("percent", 0) / 100, terms.get("seconds", 0))
    expected = client.wall_time(Handle("s"), X, quantile=terms.get("quantile", client.QUANTILE), margin=margin)
    assert shown(page) == {form: format_duration(expected.seconds, form) for form in FORMATS}
    assert f"Request {expected.written()}" in page.text


def test_its_constants_are_those_of_the_client():
    assert (wall_times.QUANTILE, wall_times.FLOOR, wall_times.UNITS) == (client.QUANTILE, client.FLOOR, client.UNITS)


@pytest.mark.parametrize("unit", ["h", "min", "ms"])
def test_units_of_the_target_are_seconds_in_the_request(browser, unit):
    stream(target_unit=unit)
    model("run", recipe="runtime")
    learn("runs", jobs(60))
    expected = client.wall_time(Handle(unit), X)
    assert shown(browser.get(f"{PAGE}?{JOB}"))["seconds"] == format_duration(expected.seconds, "seconds")


def test_the_commands_say_the_same(world, browser):
    page = browser.get(f"{PAGE}?{JOB}&quantile=0.9&percent=10&seconds=30")
    assert page.boxes[1] == (
        'qsub -l walltime="$(TAILRACE_URL=http://testserver tailrace walltime run size=4.5 nodes=2 kind=1 '
        '--format pbs --quantile 0.9 --margin 10%+30s)" job.sh'
    )
    assert client.margin("10%+30s") == client.Margin(0.1, 30.0)


def test_the_ledger_is_what_was_said_before_each_job(world, browser):
    page = browser.get(f"{PAGE}?{JOB}&quantile=0.9&percent=10&nodes=nodes&request=asked")
    found = Model.objects.select_related("stream").get(name="run")
    columns = calibration.read(found, None, None)
    points = [p.x for p in jobs(300)]
    asked = np.maximum(columns.values["q90"].astype(float) * 1.1, 60.0)
    y, known = columns.values["y"], ~np.isnan(columns.values["q90"]) & (columns.values["state"] == 1)
    killed = int((y > asked)[known].sum())
    hours = (asked * np.array([x["nodes"] for x in points]) / 3600)[known].sum()
    cells = [cell.get_text(strip=True) for cell in page.html.select("#ledger-title ~ .scrolls tr")[1].select("td")]
    assert cells[:3] == ["run", str(known.sum()), str(killed)]
    assert float(cells[3]) == pytest.approx(hours, rel=1e-3)
    rows = page.html.select("#ledger-title ~ .scrolls tr")
    assert [row.select("td")[0].get_text() for row in rows[2:]] == ["run, jobs with a request", "their users"]
    assert f"{killed} ({100 * killed / known.sum():.3g} %) would have been killed" in page.text
    assert "less with the model" in page.text


def test_a_ledger_that_does_not_count_all_jobs_says_so(world, browser, monkeypatch):
    assert "that are recorded" not in browser.get(PAGE).text
    monkeypatch.setattr(pages, "LATEST", 100)
    JOBS.clear()
    assert (
        "Observations 201 to 300: the latest 100 of 300 that are recorded. Earlier ones don’t count."
        in browser.get(PAGE).text
    )


def test_the_charts_go_over_the_risk(world, browser):
    page = browser.get(f"{PAGE}?{JOB}&request=asked")
    for name in ("killed", "hours"):
        url = page.html.select_one(f"figure#{name}")["data-chart"]
        data = json.loads(browser.get(url).response.content)
        assert data["x"][0] == 0.5 and data["x"][-1] == 0.99
        first = data["series"][0]["values"]
        assert first == sorted(first, reverse=name == "killed"), "more is requested and fewer are killed"
        assert browser.get(f"{url}&format=csv").response.content.startswith(b"probability to end in time,")
    assert browser.get(f"{PAGE}charts/none/").status == 404


def test_new_jobs_are_in_the_ledger_at_once(world, browser):
    before = browser.get(f"{PAGE}?{JOB}").text
    learn("runs", jobs(1, seed=9))
    page = browser.get(f"{PAGE}?{JOB}")
    assert "latest 299 jobs" in before and "latest 300 jobs" in page.text


def test_margins_in_seconds_and_the_least_request_count_in_the_ledger(world):
    read = ledger.read(Model.objects.select_related("stream").get(name="run"))
    plain = ledger.account(read, 0.9)
    more = ledger.account(read, 0.9, seconds=36.0)
    assert more["requested"] == pytest.approx(plain["requested"] + plain["jobs"] * 0.01)
    assert ledger.account(read, 0.9, floor=1e6)["killed"] == 0


@pytest.mark.parametrize(
    "query, said",
    [
        ("quantile=0.3", "Quantile is '0.3': expected a number from 0.51 to 0.99"),
        ("quantile=nan", "Quantile is 'nan'"),
        ("percent=-1", "Percent is '-1'"),
        ("seconds=x", "Seconds is 'x'"),
        ("x.size=big", "expected a number"),
    ],
)
def test_what_is_wrong_is_said(world, browser, query, said):
    page = browser.get(f"{PAGE}?{query}")
    assert page.status == 400 and said in page.text


def test_what_cannot_be_said_is_explained(world, browser, work):
    model("lin")
    assert "No wall time: model lin is still learning" in browser.get(f"/models/lin/walltime/?{JOB}").text
    work()
    record()
    page = browser.get(f"/models/lin/walltime/?{JOB}")
    assert "No wall time: model lin gives no interval" in page.text
    assert "There is no ledger: model lin has no upper bounds" in page.text
    assert "none of these jobs has a number named 'kidn'" in browser.get(f"{PAGE}?request=kidn").text.replace(
        "None", "none"
    )
    RecordBlock.objects.filter(model__name="run").update(columns=b"x")
    assert "a part of the record can't be read" in browser.get(f"{PAGE}?{JOB}").text
    assert browser.get(f"{PAGE}charts/killed/").status == 400
    assert browser.get("/models/none/walltime/").status == 404


def test_a_target_that_is_no_time_is_said(browser):
    stream(target_unit="eV")
    model("run", recipe="runtime")
    page = browser.get(PAGE)
    assert page.status == 200 and "Fill in the job's features" in page.text
    learn("runs", jobs(30))
    page = browser.get(PAGE)
    assert "predicts in 'eV', which is not a unit of time" in page.text
    assert "expected a time" in page.text


def test_nothing_learned_is_said(browser):
    stream()
    model("run", recipe="runtime")
    assert "has learned nothing yet" in browser.get(f"{PAGE}?more=size%3D4").text


def test_names_with_markup_are_shown_as_they_are(browser):
    stream()
    model("run", recipe="runtime")
    points = [Point({**p.x, MARKUP: 1.0}, p.y, Note(source={MARKUP: 100.0})) for p in jobs(40)]
    learn("runs", points)
    page = browser.get(f"{PAGE}?{urlencode({'x.size': 4, f'x.{MARKUP}': 1, 'nodes': MARKUP, 'request': MARKUP})}")
    assert page.status == 200 and not page.html.select("main b")


def test_limits_of_roles_and_streams_hold(signed_in, world, only_stream):
    assert signed_in("vera", "viewer").get(PAGE).status == 403
    browser = signed_in()
    assert browser.get(PAGE).status == 200
    only_stream("other")
    assert browser.get(PAGE).status == 404
    assert browser.get(f"{PAGE}charts/killed/").status == 404
