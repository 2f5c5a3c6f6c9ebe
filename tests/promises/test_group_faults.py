"""One stream's fault is its own: a commit that several streams share falls apart into theirs when it fails."""

import threading

import pytest
from river import base, compose, dummy, linear_model, stats

from server.core.db import locks
from server.core.errors import Invalid, TooLarge, Unavailable
from server.learning import inspection, registry
from server.learning.fold.replica_set import SETS
from server.learning.predictions import predict_points
from server.learning.verification import verify
from server.learning.write_path import learn_points, shared_commits, transaction
from server.streams import log
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point

pytestmark = pytest.mark.django_db(transaction=True)


def learn_together(asked):
    """Each from a thread of its own, and all waiting for one commit; returns what became of each."""
    outcomes = {}

    def learn(stream_id):
        try:
            outcomes[stream_id] = learn_points.learn(stream_id, [Point({"a": 1.0}, 1.0)])
        except Exception as exc:
            outcomes[stream_id] = exc
        finally:
            locks.connection.close()

    threads = [threading.Thread(target=learn, args=[stream_id]) for stream_id in asked]
    with shared_commits._shared._mutex:
        shared_commits._shared._busy = True  # as if one were under way
    for thread in threads:
        thread.start()
    while len(shared_commits._shared._waiting) < len(asked):
        threading.Event().wait(0.001)
    shared_commits._shared._heir = shared_commits._shared._waiting[0]
    shared_commits._shared._heir.wakeup.release()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.one_database  # on PostgreSQL streams share no commit
def test_a_stream_that_can_not_be_stored_keeps_no_other_from_it(monkeypatch):
    ids = [streams.create(name, target_kind="number").pk for name in ("bad", "good", "fine")]
    append = log.append

    def failing(stream_id, *args, **kwargs):
        if stream_id == ids[0]:
            raise ValueError("no")
        append(stream_id, *args, **kwargs)

    monkeypatch.setattr(transaction.log, "append", failing)
    outcomes = learn_together(ids)
    assert isinstance(outcomes[ids[0]], ValueError)
    assert [outcomes[pk].seqs[0] for pk in ids[1:]] == [1, 1]
    assert dict(Stream.objects.values_list("name", "head")) == {"bad": 0, "good": 1, "fine": 1}


@pytest.mark.one_database
def test_a_log_that_somebody_wrote_to_without_its_lock_is_not_written_over():
    pk = streams.create("s", target_kind="number").pk
    registry.create("m", "s", "regression", linear_model.LinearRegression())
    look = log.lock_and_read_head

    def beside(stream_id, onces):
        found = look(stream_id, onces)
        Stream.objects.filter(pk=pk).update(head=7)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "lock_and_read_head", beside)
        with pytest.raises(Unavailable, match="has changed in the meantime"):
            learn_points.learn(pk, [Point({"a": 1.0}, 1.0)])


def test_a_prediction_that_can_not_be_stored_is_the_models_own_failure(monkeypatch, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"trusted_modules": __name__, "max_prediction_bytes": 1000})
    pk = streams.create("s").pk
    registry.create("odd", "s", "custom", Odd())
    registry.create("good", "s", "multiclass", dummy.NoChangeClassifier())
    receipt = learn_points.learn(pk, [Point({"a": n}, "label") for n in range(5)])
    assert [receipt.predictions["odd"][n] for n in (0, 4)] == ["fine", "fine"]
    assert {n: why.partition(":")[0] for n, why in receipt.errors["odd"].items()} == {
        1: "ValueError", 2: "OverflowError", 3: "OverflowError",
    }  # fmt: skip
    assert "good" not in receipt.errors
    assert inspection.state("odd")["skipped"] == 3
    SETS.clear()
    verify(registry.Model.objects.select_related("stream").get(name="odd"))


class Odd(base.Classifier):
    def learn_one(self, x, y):
        pass

    def predict_one(self, x):
        import numpy as np

        return {1: "\ud800", 2: "long" * 300, 3: np.empty((3 * 10**7, 0))}.get(x["a"], "fine")


class Wordy(base.Classifier):
    def learn_one(self, x, y):
        pass

    def predict_one(self, x):
        return "w" * 60_000


def test_the_predictions_of_one_request_have_a_bound_in_all(settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"trusted_modules": __name__})
    pk = streams.create("s").pk
    registry.create("wordy", "s", "custom", Wordy())
    registry.create("good", "s", "multiclass", dummy.NoChangeClassifier())
    few = transaction.MAX_PREDICTIONS_BYTES // 60_002 - 1
    with pytest.raises(TooLarge, match=r"predictions for 600 observations take more than .* MB.*Nothing was stored"):
        learn_points.learn(pk, [Point({"a": n}, "label") for n in range(600)])
    assert Stream.objects.get(pk=pk).head == 0
    assert inspection.metrics("good")["learned"] == 0
    assert learn_points.learn(pk, [Point({"a": n}, "label") for n in range(few)]).seqs == range(1, few + 1)
    with pytest.raises(TooLarge, match="send at most"):
        predict_points.predict("wordy", [{"a": 1}] * 600, fields=["xs"] * 600)
    assert len(predict_points.predict("wordy", [{"a": 1}] * few, fields=["xs"] * few).predictions) == few


def test_a_pipeline_whose_parts_can_not_be_asked_is_refused_when_it_is_made():
    pk = streams.create("s", target_kind="number").pk
    registry.create("good", "s", "regression", linear_model.LinearRegression())
    for first in (stats.Mean(), linear_model.LinearRegression()):
        with pytest.raises(Invalid) as found:
            registry.create("broken", "s", "regression", compose.Pipeline(first, linear_model.LinearRegression()))
        assert found.value.code in ("invalid", "not_servable")  # by the loader, or in its trial
    assert learn_points.learn(pk, [Point({"a": 1.0}, 1.0)]).predictions.keys() == {"good"}


def test_a_model_that_can_no_longer_be_loaded_fails_alone(caplog):
    pk = streams.create("s", target_kind="number").pk
    registry.create("good", "s", "regression", linear_model.LinearRegression())
    registry.create("lost", "s", "regression", linear_model.LinearRegression())
    registry.Model.objects.filter(name="lost").update(initial=b"not a pickle")
    SETS.clear()
    assert learn_points.learn(pk, [Point({"a": 1.0}, 1.0)]).predictions.keys() == {"good"}
    with pytest.raises(Exception, match="lost") as found:
        inspection.metrics("lost")
    assert found.value.code == "not_loadable"
    assert inspection.metrics("good")["learned"] == 1
