"""Feeds: finished runs become observations, each once, and the next run is predicted from its params."""

import pytest
from django.db import connection

from server.core.errors import Invalid
from server.learning.write_path import learn_points
from server.streams import log
from server.streams import registry as streams
from server.tracking import experiments, feed_queue, feeding, retention
from server.tracking.models import Feed, FeedPoint
from tests.api_client import refused
from tests.tracking.conftest import Tracked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

EXPERIMENT = "darcy flow/ü"


@pytest.fixture(autouse=True)
def _nothing_failed_before():
    feeding._Last.failed.clear()


@pytest.fixture
def fed(ada):
    """An experiment of Ada's with a feed of its losses, and a stream with a model."""
    ada.stream("losses", target={"name": "loss"})
    ada.model("loss-model", "losses", "runtime")
    made = ada.ok("/api/v1/experiments/", {"name": EXPERIMENT}, 201)
    asked = {"stream": "losses", "params": {"lr": "number", "operator": "category"}, "metric": "loss"}
    return ada.ok(f"/api/v1/experiments/{made['id']}/feeds/", asked, 201)


def path(rest=""):
    return f"/api/v1/experiments/{experiments.by_name(EXPERIMENT).pk}/{rest}"


def finished(api, digit, loss=(1.0, 0.5), status="FINISHED", **params):
    """A run that was sent in lines, as a client sends it."""
    run = Tracked(api, digit * 32)
    assert run.send("PUT", "", {"experiment": EXPERIMENT, "started_ms": 1000}).status_code in (200, 201)
    lines = [{"kind": "metrics", "step": n, "time_ms": n, "values": {"loss": value}} for n, value in enumerate(loss)]
    lines.append({"kind": "params", "values": {"lr": "0.01", "operator": "FNO"} | params})
    lines.append({"kind": "status", "status": status, "time_ms": 3500})
    assert run.lines(0, *lines).json()["refused"] == []
    return run


def observations(stream="losses"):
    """What is in the stream: features, target, key."""
    found = streams.find(stream)
    return [
        (x, y, span.notes.get(offset, {}).get("key"))
        for span in log.spans(found.pk, 0, found.head)
        for offset, (x, y) in enumerate(zip(span.xs, span.ys, strict=True))
    ]


def shown(api, stream="losses"):
    return api.ok(path(f"feeds/{stream}/"))


def test_a_finished_run_is_an_observation_once_whatever_becomes_of_it(ada, fed):
    assert (fed["target"], fed["runs"], fed["models"]) == (
        "last loss",
        {"due": 0, "posted": 0, "left_out": 0},
        ["loss-model"],
    )
    run = finished(ada, "a")
    assert observations() == [], "the write waits for no model"
    assert shown(ada)["runs"]["due"] == 1
    assert feeding.feed_all() == 1
    expected = [({"lr": 0.01, "operator": "FNO"}, 0.5, run.uid)]
    assert observations() == expected
    run.send("PATCH", "", {"status": "FINISHED"})
    run.send("PATCH", "", {"status": "RUNNING"})
    run.send("PATCH", "", {"status": "FINISHED", "params": {"late": "1"}})
    run.send("DELETE", "")
    assert run.send("POST", "restore/").status_code == 200
    ada.client.delete(path())
    ada.ok(path("restore/"), {})
    ada.ok(path("feeds/losses/backfill/"), {})
    feeding.feed_all()
    assert observations() == expected
    assert shown(ada)["runs"] == {"due": 0, "posted": 1, "left_out": 0}
    (listed,) = ada.ok(path("feeds/losses/runs/?state=posted"))["runs"]
    assert (listed["run"], listed["seq"], listed["reason"]) == (run.uid, 1, "")


def test_a_process_that_is_killed_after_it_posted_posts_nothing_twice(ada, fed, monkeypatch):
    finished(ada, "a")
    finished(ada, "b", (2.0,))
    learn = learn_points.learn

    def learn_and_die(*args, **kwargs):
        learn(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learn_points, "learn", learn_and_die)
        with pytest.raises(KeyboardInterrupt):
            feeding.feed_all()
    assert shown(ada)["runs"] == {"due": 2, "posted": 0, "left_out": 0}
    before = observations()
    assert len(before) == 2
    assert feeding.feed_all() == 2
    assert observations() == before
    assert [one["seq"] for one in ada.ok(path("feeds/losses/runs/"))["runs"]] == [1, 2]


def test_a_feed_that_is_made_anew_posts_nothing_twice(ada, fed):
    finished(ada, "a")
    feeding.feed_all()
    assert ada.client.delete(path("feeds/losses/")).status_code == 204
    assert ada.ok(path("feeds/"))["feeds"] == []
    asked = {"stream": "losses", "params": {"lr": "number", "operator": "category"}}
    again = ada.ok(path("feeds/"), asked, 201)
    assert (again["target"], again["runs"]["due"]) == ("wall time", 1)
    refused(ada.post(path("feeds/"), asked), 409, "stream", "exists")
    feeding.feed_all()
    assert [y for _, y, _ in observations()] == [0.5]


def test_earlier_runs_are_posted_by_a_backfill_in_the_order_of_their_ends(ada):
    for digit, loss, status in (
        ("a", 1.0, "FINISHED"),
        ("b", 2.0, "FAILED"),
        ("c", 3.0, "FINISHED"),
        ("d", 4.0, "RUNNING"),
    ):
        finished(ada, digit, (loss,), status)
    Tracked(ada, "a" * 32).send("PATCH", "", {"status": "FINISHED", "ended_ms": 9000})
    ada.stream("times", target={"name": "time", "unit": "s"})
    asked = {"stream": "times", "params": {"lr": "number"}, "backfill": False}
    assert ada.ok(path("feeds/"), asked, 201)["runs"]["due"] == 0
    assert feeding.feed_all() == 0
    Tracked(ada, "c" * 32).send("PATCH", "", {"tags": {"seen": "yes"}})
    assert shown(ada, "times")["runs"]["due"] == 0, "it finished before the feed was made"
    assert [ada.ok(path("feeds/times/backfill/"), {})["queued"] for _ in range(2)] == [2, 0]
    feeding.feed_all()
    assert [(y, key) for _, y, key in observations("times")] == [(2.5, "c" * 32), (8.0, "a" * 32)]


def test_runs_that_cannot_be_posted_are_left_out_with_the_reason_and_posted_once_they_can(ada, fed):
    cases = {
        "a": ({"loss": ("NaN",)}, "the last of metric 'loss' is NaN: expected a finite number"),
        "b": (
            {"lr": "fast"},
            "param 'lr' is 'fast': expected a finite number; for text, make the feed with the kind category for it",
        ),
        "c": (
            {"lr": "1e999"},
            "param 'lr' is '1e999': expected a finite number; for text, make the feed with the kind category for it",
        ),
        "d": ({"loss": ()}, "metric 'loss' missing"),
        "e": ({"operator": "x" * 5000}, "x.operator has 5000 characters"),
    }
    for digit, (fields, _) in cases.items():
        finished(ada, digit, **fields)
    lacking = Tracked(ada, "f" * 32)
    lacking.send("PUT", "", {"experiment": EXPERIMENT, "params": {"lr": "1"}})
    lacking.lines(0, {"kind": "metrics", "step": 0, "time_ms": 0, "values": {"loss": 0.25}})
    lacking.send("PATCH", "", {"status": "FINISHED"})
    good = finished(ada, "1")
    feeding.feed_all()
    assert [key for _, _, key in observations()] == [good.uid]
    told = {one["run"]: one["reason"] for one in ada.ok(path("feeds/losses/runs/?state=left_out"))["runs"]}
    for digit, (_, reason) in cases.items():
        assert reason in told[digit * 32], digit
    assert told[lacking.uid] == "param 'operator' missing"
    lacking.send("PATCH", "", {"params": {"operator": "U-Net"}})
    Tracked(ada, "d" * 32).lines(0, {"kind": "metrics", "step": 0, "time_ms": 0, "values": {"loss": 3}}, writer="late")
    assert feeding.feed_all() == 2
    assert {key for _, _, key in observations()} == {good.uid, lacking.uid, "d" * 32}


def test_a_run_that_changes_while_it_is_looked_at_is_looked_at_again(ada, fed, monkeypatch):
    run = Tracked(ada, "a" * 32)
    run.send("PUT", "", {"experiment": EXPERIMENT, "params": {"lr": "1"}})
    run.lines(0, {"kind": "metrics", "step": 0, "time_ms": 0, "values": {"loss": 0.25}})
    run.send("PATCH", "", {"status": "FINISHED"})
    leave_out = feeding._leave_out

    def change_first(row, reason):
        run.send("PATCH", "", {"params": {"operator": "FNO"}})
        leave_out(row, reason)

    monkeypatch.setattr(feeding, "_leave_out", change_first)
    feeding.feed_all()
    assert [key for _, _, key in observations()] == [run.uid]


def test_targets_are_the_last_the_least_the_largest_or_the_wall_time(ada):
    finished(ada, "a", (2.0, "NaN", 0.5, 1.0))
    finished(ada, "b", (1.0, "-Infinity", 2.0))
    for name, value in (("low", "min"), ("high", "max"), ("last", "last")):
        ada.stream(name)
        ada.ok(path("feeds/"), {"stream": name, "params": {"lr": "number"}, "metric": "loss", "value": value}, 201)
    feeding.feed_all()
    found = {name: {key: y for _, y, key in observations(name)} for name in ("low", "high", "last")}
    a, b = "a" * 32, "b" * 32
    assert found == {"low": {a: 0.5}, "high": {a: 2.0, b: 2.0}, "last": {a: 1.0, b: 2.0}}
    assert "-Infinity" in ada.ok(path("feeds/low/runs/?state=left_out"))["runs"][0]["reason"]


def test_a_deleted_run_is_left_out_and_posted_once_it_is_restored(ada, fed):
    run = finished(ada, "a")
    run.send("DELETE", "")
    feeding.feed_all()
    assert observations() == [] and "deleted" in ada.ok(path("feeds/losses/runs/"))["runs"][0]["reason"]
    run.send("POST", "restore/")
    feeding.feed_all()
    assert len(observations()) == 1
    run.send("DELETE", "")
    retention.remove_due(2**60)
    assert len(observations()) == 1 and FeedPoint.objects.count() == 0


def test_one_point_that_the_stream_refuses_does_not_hold_the_others_up(ada):
    """The model takes numbers only, so it refuses text; the stream has no other model."""
    ada.stream("losses")
    ada.model("numbers", "losses", "linear")
    for digit, width in (("a", "32"), ("b", "wide"), ("c", "64")):
        finished(ada, digit, width=width)
    asked = {"stream": "losses", "params": {"lr": "number", "width": "category"}, "metric": "loss"}
    ada.ok(path("feeds/"), asked, 201)
    feeding.feed_all()
    assert observations() == [] and shown(ada)["runs"]["left_out"] == 3
    assert "refuses the point" in ada.ok(path("feeds/losses/runs/"))["runs"][0]["reason"]
    ada.client.delete(path("feeds/losses/"))
    ada.ok(path("feeds/"), {**asked, "params": {"lr": "number"}}, 201)
    learn = learn_points.learn

    def refuse_together(stream, points, **more):
        if len(points.xs) > 1 or points.notes[0].key[0] == "b":
            raise Invalid("every model refuses it")
        return learn(stream, points, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learn_points, "learn", refuse_together)
        feeding.feed_all()
    assert [key[0] for _, _, key in observations()] == ["a", "c"]
    assert ada.ok(path("feeds/losses/runs/?state=left_out"))["runs"][0]["reason"] == "every model refuses it"


def test_a_feed_ends_with_its_stream_and_waits_for_an_owner_who_may_post(ada, fed, people, moderator):
    finished(ada, "a")
    ada_user = people.users["ada"]
    groups = list(ada_user.groups.all())
    ada_user.groups.clear()
    feeding.feed_all()
    assert observations() == [] and "may not post" in moderator.ok(path("feeds/losses/"))["trouble"]
    ada_user.groups.set(groups)
    feeding.feed_all()
    assert len(observations()) == 1
    finished(ada, "b")
    gone = ada.client.delete("/api/v1/streams/losses/?confirm=losses")
    assert gone.status_code == 204, gone.content
    feeding.feed_all()
    assert shown(ada)["trouble"] == "stream losses was deleted: delete the feed"
    refused(ada.post(path("predict/"), {"params": {"lr": 1, "operator": "FNO"}}), 400, "params")


def test_only_who_may_change_the_experiment_and_post_makes_a_feed(ada, fed, moderator, people):
    other = people.of("researcher", "grace")
    asked = {"stream": "losses", "params": {"lr": "number"}}
    refused(other.post(path("feeds/"), asked), 403)
    refused(other.delete(path("feeds/losses/")), 403)
    refused(other.post(path("feeds/losses/backfill/"), None), 403)
    assert moderator.delete(path("feeds/losses/")).status_code == 204
    made = moderator.ok(path("feeds/"), asked, 201)
    assert made["created_by"] == "moderator"


def test_what_cannot_be_fed_is_refused_when_the_feed_is_made(ada, fed):
    ada.stream("declared", features={"lr": "number", "k": "category"})
    ada.stream("words", target={"name": "kind", "kind": "category"})
    for fields, status, field in (
        ({"stream": "none"}, 404, "stream"),
        ({"stream": "words"}, 400, "stream"),
        ({"stream": "declared"}, 400, "params"),
        ({"params": {}}, 400, "params"),
        ({"params": {"lr": "vector"}}, 400, "params.lr"),
        ({"params": {"x" * 201: "number"}}, 400, "params"),
        ({"value": "mean"}, 400, "value"),
        ({"value": "min"}, 400, "value"),
        ({"metric": ""}, 400, "metric"),
        ({"metric": "a\x00"}, 400, "metric"),
        ({"backfill": 1}, 400, "backfill"),
        ({"extra": 1}, 400, "extra"),
    ):
        refused(ada.post(path("feeds/"), {"stream": "losses", "params": {"lr": "number"}} | fields), status, field)
    refused(ada.get(path("feeds/none/")), 404, "stream")
    refused(ada.get(path("feeds/losses/runs/?state=done")), 400, "state")
    assert Feed.objects.count() == 1


def test_the_next_run_is_predicted_before_it_is_submitted(ada, fed):
    for number in range(12):
        lr = 0.01 * (1 + number)
        finished(ada, f"{number:x}", (5 * lr,), lr=str(lr))
    feeding.feed_all()
    (found,) = ada.ok(path("predict/"), {"params": {"lr": "0.05", "operator": "FNO", "other": True}})["predictions"]
    assert (found["stream"], found["target"], found["x"]) == ("losses", "last loss", {"lr": 0.05, "operator": "FNO"})
    (by,) = found["models"]
    assert (by["model"], by["at"], by["error"]) == ("loss-model", 12, "")
    own = ada.ok("/api/v1/models/loss-model/predict/", {"x": {"lr": 0.05, "operator": "FNO"}})
    assert by["prediction"] == own["prediction"]
    strange = ada.ok(path("predict/"), {"params": {"lr": 900, "operator": "FNO"}})["predictions"][0]["models"][0]
    assert strange["warnings"], "a value out of the range that runs had"
    assert len(observations()) == 12
    for body, status, field in (
        ({"params": {"lr": 1}}, 400, "params"),
        ({"params": {"lr": [1], "operator": "a"}}, 400, "params.lr"),
        ({"params": {"lr": 1, "operator": "a"}, "stream": "none"}, 404, "stream"),
        ({"params": {"lr": 1, "operator": "a"}, "level": 1}, 400, "level"),
        ({}, 400, "params"),
    ):
        refused(ada.post(path("predict/"), body), status, field)


def test_a_run_of_an_experiment_without_feeds_costs_one_statement_more(ada, django_assert_max_num_queries):
    """A feed never delays what a training sends: its queue is one indexed statement."""
    finished(ada, "a", status="RUNNING")
    number = experiments.by_name(EXPERIMENT).pk
    with django_assert_max_num_queries(1, connection=connection):
        feed_queue.add(1, number)
