"""The page of an experiment's feeds, used as a person without scripts uses it."""

import pytest
from django.contrib.auth.models import User
from river import dummy, stats

from server.learning import registry as models
from server.learning.background import backfills
from server.learning.fold.replica_set import SETS
from server.streams import registry as streams
from server.tracking import experiments, feeding, runs, writing
from server.tracking.statements import Point
from tests.campaigns.test_pages import signed_in
from tests.tracking.test_pages import _quick_passwords  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]


@pytest.fixture
def eve(required):
    """A researcher who has finished three runs of an experiment; one lacks a param."""
    feeding._Last.failed.clear()
    SETS.clear()
    browser = signed_in("eve", "researcher")
    owner = {"created_by": "eve", "owner_id": User.objects.get(username="eve").pk}
    streams.create("losses", target_kind="number", target_name="loss", **owner)
    for number in range(1, 4):
        params = {"lr": f"0.{number}", "operator": "FNO"} if number < 3 else {"lr": "0.3"}
        run, _ = runs.put(f"{number:032x}", "darcy <flow>", name=f"run {number}", params=params, **owner)
        with writing.locked(run.uid) as held:
            writing.log_metrics(held, [Point("loss", 0, 0, float(number), 0)])
        runs.change(run.uid, {"status": "FINISHED"})
    return browser


def here():
    return f"/experiments/{experiments.by_name('darcy <flow>').pk}/feeds/"


def test_a_feed_is_made_predicts_and_is_deleted(eve):
    page = eve.get(here())
    assert "posted to no stream" in page.text
    assert page.html.find(id="params").get_text().strip().split("\n") == ["lr = number", "operator = category"]
    page = eve.follow(eve.press(page, "Post them", stream="losses", metric="loss"))
    assert "2 posted" not in page.text and "3 waiting" in page.text
    feeding.feed_all()
    page = eve.get(here())
    assert "2 posted, 0 waiting, 1 left out" in page.text and "Param 'operator' missing" in page.text
    assert "none yet" in page.text
    assert "losses" in eve.get(here().removesuffix("feeds/")).text
    assert "observation 1 of stream losses" in eve.get(f"/runs/{1:032x}/").text
    assert "left out of stream losses: param 'operator' missing" in eve.get(f"/runs/{3:032x}/").text
    runs.change(f"{3:032x}", {"params": {"operator": "FNO"}})
    page = eve.follow(eve.press(page, "Post earlier runs to losses"))
    feeding.feed_all()
    page = eve.get(here())
    assert "3 posted" in page.text
    assert "has no model yet" in eve.get(f"{here()}?p.lr=0.1&p.operator=FNO").text
    models.create("mean", "losses", "regression", dummy.StatisticRegressor(stats.Mean()))
    backfills.work_on_backfills()
    predicted = eve.get(f"{here()}?p.lr=0.1&p.operator=FNO")
    assert predicted.status == 200 and "last loss mean 2 " in predicted.text
    assert predicted.html.find(id="p-1")["value"] == "FNO"
    wrong = eve.get(f"{here()}?p.lr=fast&p.operator=FNO")
    assert wrong.status == 400 and "expected a finite number" in wrong.text
    page = eve.follow(eve.press(page, "Post no more to losses"))
    assert "posted to no stream" in page.text


def test_what_is_wrong_is_said_at_its_field(eve):
    page = eve.get(here())
    for fields, field, said in (
        ({"stream": "none"}, "stream", "no stream named"),
        ({"params": "lr = vector"}, "params", "expected one of number, category"),
        ({"params": ""}, "params", "expected 1 to"),
        ({"params": "lr\nlr"}, "params", "twice"),
        ({"metric": "loss", "value": "mean"}, "value", "expected one of"),
    ):
        refused = eve.press(page, "Post them", **{"stream": "losses", **fields})
        assert refused.status in (400, 404)
        assert said in refused.error_at(field).lower(), fields
    assert eve.get("/experiments/99999/feeds/").status == 404


def test_those_who_may_not_change_it_see_no_form(eve):
    reader = signed_in("vera", "viewer")
    page = reader.get(here())
    assert page.status == 200 and not page.html.select('form[method="post"][action*="feeds"]')
    other = signed_in("grace", "researcher")
    assert "Post them" not in other.get(here()).text
