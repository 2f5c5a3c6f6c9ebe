"""A model in quarantine learns nothing, harms nobody, and a replay agrees with the log about it."""

import json
import uuid
from dataclasses import asdict

import pytest
from river import linear_model, preprocessing

from server.core.errors import Conflict, Unavailable
from server.learning import inspection, quarantine, registry
from server.learning.background import maintenance
from server.learning.budgets import sandbox
from server.learning.fold.replica_set import SETS
from server.learning.models import Model, Quarantine
from server.learning.predictions import predict_points
from server.learning.quarantine import Verdict
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import log
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point

pytestmark = pytest.mark.django_db(transaction=True)


def linear():
    return preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)


def points(count, start=0):
    return [Point({"a": float(n % 7)}, float(n % 11)) for n in range(start, start + count)]


@pytest.fixture
def stream():
    found = streams.create("s", target_kind="number")
    registry.create("m", "s", "regression", linear())
    registry.create("other", "s", "regression", linear())
    return found.pk


def put_into_quarantine(name="m", why="it took too long"):
    quarantine.demand(Model.objects.get(name=name).pk, "learn", 21, why)
    assert quarantine.settle() == 1


def test_it_skips_what_comes_while_the_others_learn(stream):
    learn_points.learn(stream, points(20))
    put_into_quarantine()
    receipt = learn_points.learn(stream, points(10, 20))
    assert list(receipt.predictions) == ["other"]
    state = inspection.state("m")
    assert (state["status"], state["error"]) == ("quarantined", "it took too long")
    shown = state["quarantine"]
    assert (shown["since"], shown["call"], shown["observation"]) == (21, "learn", 21)
    with pytest.raises(Conflict, match="is in quarantine") as found:
        predict_points.predict("m", [{"a": 1.0}])
    assert found.value.code == "quarantined"
    assert inspection.metrics("other")["learned"] == 30


def test_released_it_learns_again_and_a_replay_from_the_first_observation_agrees(stream):
    learn_points.learn(stream, points(20))
    put_into_quarantine()
    learn_points.learn(stream, points(10, 20))
    quarantine.release(Model.objects.select_related("stream").get(name="m"), "ada")
    maintenance.work_on_backfills()
    learn_points.learn(stream, points(5, 30))
    found = inspection.metrics("m")
    assert (found["at"], found["learned"]) == (35, 25)
    alone = linear()
    for point in [*points(20), *points(5, 30)]:
        alone.learn_one(point.x, point.y)
    probe = {"a": 3.5}
    assert predict_points.predict("m", [probe]).predictions == [alone.predict_one(probe)]
    SETS.clear()
    verify(Model.objects.select_related("stream").get(name="m"))
    assert inspection.metrics("m", at=25)["learned"] == 20
    ended = Quarantine.objects.get()
    assert (ended.after, ended.upto, ended.released_by) == (20, 30, "ada")


def test_a_point_retracted_meanwhile_is_left_out_after_the_release(stream):
    learn_points.learn(stream, points(20))
    put_into_quarantine()
    streams.retract(Stream.objects.get(), 3, "wrong node")
    maintenance.rebuild_after_retractions()
    assert inspection.state("m")["status"] == "quarantined"
    quarantine.release(Model.objects.select_related("stream").get(name="m"))
    maintenance.work_on_backfills()
    maintenance.rebuild_after_retractions()
    assert inspection.metrics("m")["learned"] == 19
    verify(Model.objects.select_related("stream").get(name="m"))


def test_a_verdict_that_was_left_on_disk_is_stored_once_by_whoever_comes_next(stream, settings, tmp_path):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"var_dir": tmp_path})
    learn_points.learn(stream, points(3))
    verdict = Verdict(str(uuid.uuid4()), Model.objects.get(name="m").pk, "predict", None, "it crashed")
    quarantine.directory().mkdir()
    quarantine.leave(quarantine.directory(), verdict)
    quarantine._Known.count = -1
    receipt = learn_points.learn(stream, points(1, 3))
    assert list(receipt.predictions) == ["other"]
    assert list(quarantine.directory().iterdir()) == []
    quarantine.leave(quarantine.directory(), verdict)  # as if the process had died before it was taken away
    quarantine._Known.count = -1
    assert quarantine.settle() == 0
    assert Quarantine.objects.count() == 1


def test_a_verdict_that_cannot_be_read_stops_nothing(stream, settings, tmp_path):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"var_dir": tmp_path})
    quarantine.directory().mkdir()
    (quarantine.directory() / "odd.verdict").write_text("{")
    (quarantine.directory() / "other.verdict").write_text(
        json.dumps({**asdict(Verdict("1", 1, "learn", None, "")), "more": 1})
    )
    quarantine._Known.count = -1
    assert learn_points.learn(stream, points(1)).seqs[0] == 1


def test_only_a_model_in_quarantine_is_released(stream):
    with pytest.raises(Conflict, match="is not in quarantine: its status is ready"):
        quarantine.release(Model.objects.select_related("stream").get(name="m"))


def test_a_release_reads_the_log_only_when_it_has_a_slot_for_the_trial(stream, monkeypatch):
    learn_points.learn(stream, points(20))
    put_into_quarantine()
    read = []
    monkeypatch.setattr(log, "spans", lambda *args: read.append(args) or iter(()))
    monkeypatch.setattr(sandbox, "PATIENCE", 0.01)
    model = Model.objects.select_related("stream").get(name="m")
    with sandbox.slot(), sandbox.slot(), pytest.raises(Unavailable, match="testing as many models as it may"):
        quarantine.release(model)
    assert not read
    monkeypatch.undo()
    quarantine.release(model)
    maintenance.work_on_backfills()
    assert inspection.state("m")["status"] == "ready"


def test_a_backfill_that_was_stopped_begins_anew_after_the_release(stream):
    learn_points.learn(stream, points(20))
    registry.create("late", "s", "regression", linear())
    put_into_quarantine("late")
    learn_points.learn(stream, points(10, 20))
    maintenance.work_on_backfills()
    assert inspection.state("late")["status"] == "quarantined"
    quarantine.release(Model.objects.select_related("stream").get(name="late"))
    maintenance.work_on_backfills()
    assert inspection.metrics("late")["learned"] == 20
    verify(Model.objects.select_related("stream").get(name="late"))


def test_a_model_whose_state_grows_too_large_is_put_into_quarantine_instead_of_stored(stream, monkeypatch):
    learn_points.learn(stream, points(20))
    monkeypatch.setattr("server.learning.pickles.loader.dump_state", lambda state: b"x" * (129 * 2**20))
    maintenance.write_due_snapshots(all_changed=True)
    monkeypatch.undo()
    assert quarantine.settle() == 2
    assert inspection.state("m")["error"] == "its state has grown to 129 MB; at most 128 MB are allowed"
