"""The pages of a model and of a stream, and the retraction of observations with its rehearsal."""

import json
import random
import re

import pytest

from server.learning import registry
from server.learning.background import maintenance, record_writer, verifications
from server.learning.models import Model, RecordBlock, Verification
from server.learning.recipes import catalog
from server.learning.records import storing
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.models import Batch, Retraction
from server.streams.points import Note, Point

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]
ODD = "über.läng_e-1"


@pytest.fixture(autouse=True)
def _nothing_known():
    record_writer._known.clear()


def learned(count=120, name="runs", recipes=("linear", "runtime"), unit="s", bad=()):
    stream = streams.create(name, target_unit=unit, segment="kind")
    for recipe in recipes:
        registry.create(f"{name}-{recipe}", name, "regression", catalog.build(recipe)[1], recipe=recipe)
    rng = random.Random(1)
    for n in range(count):
        x = {"size": rng.uniform(1, 9), "kind": rng.choice([1, 2])}
        y = 1e4 if n + 1 in bad else 5 + 3 * x["size"] + rng.random()
        learn_points.learn(stream.pk, [Point(x, y, Note(source={"job": f"j{n // 10}", "user": "<b>eve</b>"}))])
    while record_writer.record_due():
        pass
    return stream


PARTS = ("scatter", "residuals", "reliability", "segments", "drift", "skipped", "moment")


def test_a_models_page_shows_its_charts_tables_and_state_without_scripts(signed_in):
    learned()
    browser = signed_in()
    page = browser.get("/models/runs-runtime/?" + "&".join(f"show={part}" for part in PARTS[:-1]))
    assert page.status == 200
    headings = [one.text for one in page.html.select("figcaption h2")]
    assert headings == [
        "Error as it learned",
        "Predicted and actual",
        "Predicted against actual",
        "Error by observation",
        "Do its bounds hold?",
    ]
    assert len(page.html.select("svg.plot")) == 5
    assert len(page.html.select("figure table tbody tr")) > 50
    assert "The RMSE is" in page.html.select_one("#error .sentence").text
    facts = {one.dt.text: one.dd.text for one in page.html.select("#moment dl.facts > div")}
    assert (facts["Learned"], facts["Scored"]) == ("120", "119")
    assert [row.th.text for row in page.html.select("#part-segments tbody tr")] in (["1", "2"], ["2", "1"])
    for part in PARTS:
        assert browser.get(f"/models/runs-runtime/parts/{part}/").status == 200, part


def test_charts_are_json_and_csv_of_the_range_that_is_asked_for(signed_in):
    learned()
    browser = signed_in()
    chart = json.loads(browser.get("/models/runs-linear/charts/error/?first=20&last=29").response.content)
    assert chart["x"] == list(range(20, 30))
    lines = (
        browser.get("/models/runs-linear/charts/error/?first=20&last=29&format=csv")
        .response.content.decode()
        .splitlines()
    )
    assert lines[0] == "observation,lowest error,highest error,RMSE,mean error"
    assert len(lines) == 11 and lines[1].startswith("20,")
    after = json.loads(browser.get("/models/runs-linear/charts/error/?after=118&stands_for=1").response.content)
    assert after["x"] == [119, 120]
    assert (
        json.loads(browser.get("/models/runs-linear/charts/error/?after=120&stands_for=1").response.content)["x"] == []
    )
    by_size = json.loads(browser.get("/models/runs-linear/charts/residuals/?feature=size&segment=1").response.content)
    assert by_size["x_label"] == "size" and set(by_size["texts"]["segment"]) == {"1"}


def test_a_moment_is_the_state_that_was(signed_in):
    learned()
    page = signed_in().get("/models/runs-linear/?n=50")
    assert "State after observation 50" in page.html.select_one("#moment").text
    facts = {one.dt.text: one.dd.text for one in page.html.select("#moment dl.facts > div")}
    assert facts["Learned"] == "50"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/models/nope/", 404, "no model named"),
        ("/models/runs-linear/?n=999", 400, "expected a number from 0 to 30"),
        ("/models/runs-linear/?n=abc", 400, "n is 'abc': expected a whole number"),
        ("/models/runs-linear/?first=9&last=3", 400, "expected first to be at most last"),
        ("/models/runs-linear/?first=0", 400, "first is '0': expected a whole number"),
        ("/models/runs-linear/?first=" + "9" * 30, 400, "expected a whole number"),
        ("/models/runs-linear/charts/nope/", 404, "no chart named"),
        ("/models/runs-linear/parts/nope/", 404, "no part named"),
        ("/models/runs-linear/charts/residuals/?feature=nope", 400, "has no number in these observations"),
        ("/models/runs-linear/charts/error/?segment=nope", 200, ""),
        ("/streams/nope/", 404, "no stream named"),
        ("/streams/runs/?n=31", 400, "expected at most 30"),
        ("/streams/runs/parts/nope/", 404, "no part named"),
        ("/streams/runs/charts/nope/", 404, "no chart named"),
        ("/streams/runs/suspects/?seq=x", 400, "'x' is no observation"),
        ("/streams/runs/suspects/?seq=0-3", 400, "expected numbers from 1 to 30"),
        ("/streams/runs/suspects/?seq=31", 400, "expected numbers from 1 to 30"),
        ("/streams/runs/suspects/?source=job", 400, "go together"),
        ("/streams/runs/suspects/?source=job&value=none", 400, "none of the latest"),
        ("/streams/runs/suspects/?seq=3&model=nope", 404, "no model named"),
    ],
)
def test_a_wrong_url_says_what_was_expected(signed_in, path, status, said):
    learned(30, recipes=("linear",))
    page = signed_in().get(path)
    assert page.status == status
    assert said.lower() in page.text.lower()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_observations_are_said_in_words(signed_in, count):
    learned(count, recipes=("runtime",))
    browser = signed_in()
    page = browser.get("/models/runs-runtime/?" + "&".join(f"show={part}" for part in PARTS[:-1]))
    assert page.status == 200
    if count < 2:
        assert "Nothing was scored yet" in page.text
    assert browser.get("/streams/runs/").status == 200
    for part in PARTS:
        assert browser.get(f"/models/runs-runtime/parts/{part}/").status == 200


def test_a_record_that_is_not_written_or_damaged_is_said_in_words(signed_in):
    learned(50, recipes=("linear",))
    browser = signed_in()
    RecordBlock.objects.update(columns=b"broken")
    page = browser.get("/models/runs-linear/?show=segments&show=scatter")
    assert page.status in (200, 503)
    assert "The server makes it again from the log" in page.text
    storing.forget(Model.objects.get().pk)
    page = browser.get("/models/runs-linear/")
    assert page.status == 200
    assert "The record is 50 observations behind" in page.text


@pytest.mark.parametrize("flavor", ["binary", "multiclass", "cluster", "neighbor", "custom"])
def test_models_of_every_flavor_have_a_page(signed_in, flavor):
    from river import cluster, linear_model, neighbors, tree

    estimators = {
        "binary": linear_model.LogisticRegression(),
        "multiclass": tree.HoeffdingTreeClassifier(),
        "cluster": cluster.KMeans(n_clusters=2, seed=1),
        "neighbor": neighbors.KNNClassifier(),
        "custom": tree.HoeffdingTreeRegressor(),
    }
    model = registry.create("m", None, flavor, estimators[flavor])
    target = {"binary": lambda n: n % 2 == 0, "multiclass": lambda n: "ab<>"[n % 4], "neighbor": lambda n: "ab"[n % 2]}
    for n in range(20):
        learn_points.learn(
            model.stream_id, [Point({"a": float(n)}, target.get(flavor, float)(n) if flavor != "cluster" else None)]
        )
    while record_writer.record_due():
        pass
    browser = signed_in()
    page = browser.get("/models/m/?show=skipped&show=drift")
    assert page.status == 200
    assert len(page.html.select("svg.plot")) == (1 if flavor in ("binary", "multiclass") else 0)
    assert browser.get("/streams/m/").status == 200


def test_markup_in_what_the_wire_brings_stays_text(signed_in):
    learned(30, recipes=("linear",))
    page = signed_in().get("/streams/runs/")
    assert not page.html.select("b") and "<b>eve</b>" in page.html.select_one("#rows").text


def test_a_person_without_a_role_sees_nothing_and_a_token_of_another_stream_neither(signed_in, browser):
    learned(5, recipes=("linear",))
    for path in ("/models/runs-linear/", "/streams/runs/", "/models/runs-linear/charts/error/"):
        answer = browser.get(path)
        assert answer.status == 302 and answer.response.headers["Location"].startswith("/login/?next=")


def test_a_rehearsal_shows_both_curves_and_changes_nothing(signed_in):
    learned(bad=(60, 61))
    before = list(Model.objects.order_by("pk").values_list("generation", "retraction"))
    page = signed_in().get("/streams/runs/suspects/?seq=60-61&model=runs-linear")
    assert page.status == 200
    assert "Without them, the RMSE over 59 other observations is" in page.text and "lower." in page.text
    assert len(page.html.select("svg.plot path.curve")) == 2
    assert list(Model.objects.order_by("pk").values_list("generation", "retraction")) == before
    assert not Retraction.objects.exists()


def test_what_a_rehearsal_says_is_what_the_retraction_brings(signed_in):
    learned(bad=(60, 61))
    browser = signed_in("root", "admin")
    page = browser.get("/streams/runs/suspects/?source=job&value=j6&model=runs-linear")
    facts = page.html.select("#rehearsal dd")
    page = browser.get("/streams/runs/suspects/?seq=60-61")
    refused = browser.send(page, "/streams/runs/retract/", reason=" ")
    assert refused.status == 400 and "eason is empty" in refused.text
    assert not Retraction.objects.exists()
    done = browser.send(page, "/streams/runs/retract/", reason="wrong unit")
    assert "2 observations retracted" in browser.follow(done).text
    assert list(Retraction.objects.values_list("seq", "reason")) == [(60, "wrong unit"), (61, "wrong unit")]
    maintenance.rebuild_after_retractions()
    while record_writer.record_due():
        pass
    page = browser.get("/streams/runs/suspects/?seq=60-61&model=runs-linear")
    rmse = [one.text for one in page.html.select("#rehearsal dd")]
    assert rmse[0] == rmse[1], "the served model is now the one that was rehearsed"
    assert facts


def test_a_person_who_may_not_retract_has_no_form_for_it(signed_in):
    learned(10, recipes=("linear",))
    browser = signed_in("vera", "viewer")
    page = browser.get("/streams/runs/suspects/?seq=3")
    assert page.status == 200 and "Retract them" not in page.text
    token = browser.client.cookies["tailrace-csrf"].value if "tailrace-csrf" in browser.client.cookies else ""
    answer = browser.client.post("/streams/runs/retract/", {"seq": "3", "reason": "x", "csrfmiddlewaretoken": token})
    assert answer.status_code == 403
    assert not Retraction.objects.exists()


def test_queries_do_not_grow_with_the_log(signed_in, django_assert_max_num_queries):
    learned(200)
    browser = signed_in()
    with django_assert_max_num_queries(30):
        assert browser.get("/models/runs-linear/").status == 200
    with django_assert_max_num_queries(30):
        assert browser.get("/streams/runs/").status == 200


def test_a_verification_is_asked_for_on_the_page_and_says_so_bit_for_bit(signed_in):
    learned(60, recipes=("linear",))
    browser = signed_in()
    page = browser.get("/models/runs-linear/")
    assert "A replay of the whole log" in page.text
    browser.send(page, "/models/runs-linear/verify/")
    assert "It waits for a process" in browser.get("/models/runs-linear/").text
    model = Model.objects.get()
    leased = verifications._lease()
    assert leased[0] == model.pk
    assert verifications._lease() is None, "one process works on it"
    assert "The log is replayed" in browser.get("/models/runs-linear/").text
    verifications.run(*leased)
    assert (
        "60 observations were replayed; 60 logged predictions, 60 rows of the record"
        in browser.get("/models/runs-linear/").text
    )


def test_a_verification_finds_a_difference_and_is_refused_for_a_model_that_is_not_ready(signed_in):
    learned(60, recipes=("linear",))
    browser = signed_in()
    page = browser.get("/models/runs-linear/")
    browser.send(page, "/models/runs-linear/verify/")
    batch = Batch.objects.order_by("last")[20]
    Batch.objects.filter(pk=batch.pk).update(predictions=re.sub(r"\[[^]]*\]", "[1.25]", batch.predictions))
    verifications.run(*verifications._lease())
    shown = browser.get("/models/runs-linear/")
    assert "It differs at observation 21: the log has the prediction 1.25" in shown.text
    Model.objects.update(status=Model.FAILED)
    assert browser.send(page, "/models/runs-linear/verify/").status == 409


def test_a_verification_goes_on_in_another_process_when_its_lease_ends():
    learned(20, recipes=("linear",))
    model = Model.objects.select_related("stream").get()
    verifications.ask(model, "eve")
    slow = verifications._lease()
    Verification.objects.update(leased_until="2020-01-01T00:00Z")
    other = verifications._lease()
    assert other[0] == model.pk
    verifications.run(*slow)
    assert Verification.objects.get().status == Verification.RUNNING, "it is the other's now"
    verifications.run(*other)
    assert Verification.objects.get().status == Verification.SAME
