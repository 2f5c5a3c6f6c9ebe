"""A repeated key or identifier answers as the first time did and changes nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from river import linear_model

from server.core.errors import Conflict, Gone, Invalid, NotFound
from server.learning import inspection, registry
from server.learning.background import maintenance
from server.learning.fold.replica_set import SETS
from server.learning.models import Prediction
from server.learning.predictions import kept_predictions, labels, predict_points
from server.learning.write_path import learn_points
from server.streams import log
from server.streams.points import Note, Point

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def model():
    return registry.create("m", None, "regression", linear_model.LinearRegression())


def keyed(n, key, y=None):
    return Point({"a": float(n)}, float(n) if y is None else y, Note(key=key))


def test_a_repeated_key_answers_as_before(model):
    first = learn_points.learn(model.stream_id, [keyed(1, "job-1")])
    learn_points.learn(model.stream_id, [keyed(2, "job-2")])
    again = learn_points.learn(model.stream_id, [keyed(1, "job-1")])
    assert (again.seqs, again.predictions, again.duplicates) == ([1], first.predictions, 1)
    assert inspection.metrics("m")["at"] == 2


def test_keys_repeated_within_a_request_and_beside_new_points(model):
    learn_points.learn(model.stream_id, [keyed(1, "a"), keyed(2, "b")])
    receipt = learn_points.learn(model.stream_id, [keyed(3, "c"), keyed(1, "a"), keyed(3, "c"), Point({"a": 4.0}, 4.0)])
    assert receipt.seqs == [3, 1, 3, 4]
    assert receipt.duplicates == 2
    assert all(prediction is not None for prediction in receipt.predictions["m"])
    assert inspection.metrics("m")["learned"] == 4


def test_the_same_key_is_another_point_in_another_stream(model):
    other = registry.create("n", None, "regression", linear_model.LinearRegression())
    for stream in (model.stream_id, other.stream_id):
        assert learn_points.learn(stream, [keyed(1, "job-1")]).duplicates == 0


def test_one_key_from_many_threads_at_once_is_learned_once(model):
    barrier = threading.Barrier(12)

    def post(n):
        barrier.wait()
        try:
            return learn_points.learn(model.stream_id, [keyed(7, "same"), keyed(n, f"own-{n}")]).seqs[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        seqs = set(pool.map(post, range(12)))
    assert len(seqs) == 1
    assert inspection.metrics("m")["learned"] == 13
    assert [span.first + n for span in log.spans(model.stream_id, 0) for n in range(len(span.xs))] == list(range(1, 14))


def kept(identifier=None, x=3.0):
    return predict_points.predict("m", [{"a": x}], identifier=identifier, keep=True)


def test_a_label_is_learned_once_and_scored_on_the_prediction_made_then(model):
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 10.0)])
    answer = kept()
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 10.0)] * 20)
    before = inspection.metrics("m")
    found = labels.find_kept_prediction(answer.identifier)
    receipt = labels.learn_label(found, 0.0)
    assert receipt.predictions["m"] == answer.predictions
    after = inspection.metrics("m")
    mae, n = before["metrics"]["MAE"], after["n"]
    assert after["metrics"]["MAE"] == mae + 1 / n * (abs(0.0 - answer.predictions[0]) - mae)
    again = labels.learn_label(labels.find_kept_prediction(answer.identifier), 0.0)
    assert (again.duplicates, list(again.seqs)) == (1, list(receipt.seqs))
    assert inspection.metrics("m") == after


def test_another_label_for_the_same_prediction_is_refused(model):
    identifier = kept().identifier
    labels.learn_label(labels.find_kept_prediction(identifier), 5.0)
    before = inspection.metrics("m")
    with pytest.raises(Conflict, match=r"has the label 5\.0 already"):
        labels.learn_label(labels.find_kept_prediction(identifier), 6.0)
    assert inspection.metrics("m") == before


def test_a_repeated_identifier_answers_with_the_prediction_made_first(model):
    first = kept("job-1")
    learn_points.learn(model.stream_id, [Point({"a": 3.0}, 100.0)])
    assert kept("job-1").predictions == first.predictions
    with pytest.raises(Conflict, match="another prediction"):
        kept("job-1", x=4.0)
    assert Prediction.objects.count() == 1


def test_labels_for_what_is_not_waiting(model):
    with pytest.raises(NotFound, match="no prediction is kept"):
        labels.find_kept_prediction("nothing")
    identifier = kept().identifier
    with pytest.raises(Invalid, match="is not of a prediction of model 'other'"):
        labels.find_kept_prediction(identifier, "other")
    with pytest.raises(Invalid, match="expected a number"):
        labels.learn_label(labels.find_kept_prediction(identifier), "fast")
    Prediction.objects.update(expires_at=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(Gone, match="expired"):
        labels.find_kept_prediction(identifier)
    assert kept_predictions.delete_expired(datetime.now(UTC) + timedelta(days=60)) == 1
    assert inspection.metrics("m")["at"] == 0


def test_a_label_survives_a_replay(model):
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 10.0)] * 3)
    identifier = kept().identifier
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 10.0)] * 3)
    labels.learn_label(labels.find_kept_prediction(identifier), 2.0)
    from server.learning.verification import verify

    assert verify(registry.Model.objects.get(name="m"))["predictions"] == 7
    registry.create("late", "m", "regression", linear_model.LinearRegression())
    maintenance.work_on_backfills()
    assert inspection.metrics("late")["learned"] == 7


def test_a_repeated_request_of_many_points_is_answered_in_few_reads(model, django_assert_max_num_queries):
    """A client whose deadline passed repeats all that it had: that must not cost more than learning it."""
    made = [keyed(n, f"job-{n}") for n in range(1500)]
    first = learn_points.learn(model.stream_id, made)
    with django_assert_max_num_queries(30):
        again = learn_points.learn(model.stream_id, made)
    assert (again.predictions, again.duplicates) == (first.predictions, 1500)
    some = learn_points.learn(model.stream_id, [made[1400], keyed(0, "new"), made[3]])
    assert some.seqs == [1401, 1501, 4]
    assert [some.predictions["m"][n] for n in (0, 2)] == [first.predictions["m"][n] for n in (1400, 3)]


def test_a_repeated_key_answers_as_before_though_the_replicas_were_just_evicted(model, monkeypatch):
    first = learn_points.learn(model.stream_id, [keyed(1, "job-1")])
    recall = learn_points.recall

    def evicted(*args):
        for replicas in SETS.all():
            replicas.drop()
        recall(*args)

    monkeypatch.setattr(learn_points, "recall", evicted)
    assert learn_points.learn(model.stream_id, [keyed(1, "job-1")]).predictions == first.predictions


def test_of_two_models_of_one_name_made_at_once_one_is_a_conflict(model, monkeypatch):
    """Both saw that the name was free."""
    with monkeypatch.context() as patched:
        patched.setattr("django.db.models.query.QuerySet.exists", lambda self: False)
        with pytest.raises(Conflict, match="the name 'm' is taken"):
            registry.create("m", "m", "regression", linear_model.LinearRegression())
    assert registry.Model.objects.count() == 1
