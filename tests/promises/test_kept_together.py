"""Kept predictions of several requests share a commit, and one's fault is its own."""

import threading

import pytest
from river import linear_model

from server.core.db import locks
from server.core.errors import Conflict, NotFound
from server.learning import registry
from server.learning.models import Prediction
from server.learning.predictions import kept_predictions, predict_points
from server.learning.quota_counts import PREDICTIONS
from server.learning.write_path import shared_commits
from server.operations.recount import recount
from server.streams import registry as streams
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import PREDICTION_BYTES, Owner
from tests.people import person

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def combiner():
    return shared_commits._shared if locks.is_sqlite() else kept_predictions._on_postgresql


@pytest.fixture
def models():
    stream = streams.create("s", target_kind="number")
    return [registry.create(name, stream.name, "regression", linear_model.LinearRegression()) for name in ("a", "b")]


def keep_together(combiner, asked, monkeypatch, meanwhile=lambda: None, owner=None):
    """Keep a prediction for each (model, identifier, x) from a thread of its own, all waiting for one commit.

    Returns what became of each, and how many transactions there were.
    """
    outcomes, transactions = {}, []
    begin = locks.transaction_for_writing

    def counted():
        transactions.append(1)
        return begin()

    def keep(number, name, identifier, x):
        try:
            outcomes[number] = predict_points.predict(name, [x], identifier=identifier, keep=True, owner=owner)
        except Exception as exc:
            outcomes[number] = exc
        finally:
            locks.connection.close()

    threads = [threading.Thread(target=keep, args=[number, *one]) for number, one in enumerate(asked)]
    with combiner._mutex:
        combiner._busy = True  # as if one were under way
    for number, thread in enumerate(threads):
        thread.start()
        while len(combiner._waiting) <= number:
            assert thread.is_alive(), outcomes
            thread.join(0.001)
    meanwhile()
    monkeypatch.setattr(locks, "transaction_for_writing", counted)
    combiner._heir = combiner._waiting[0]
    combiner._heir.wakeup.release()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    return [outcomes[number] for number in range(len(asked))], len(transactions)


def test_they_share_a_commit(combiner, models, monkeypatch):
    asked = [("ab"[n % 2], f"job-{n}", {"n": n}) for n in range(12)]
    outcomes, transactions = keep_together(combiner, asked, monkeypatch)
    assert [answer.identifier for answer in outcomes] == [identifier for _, identifier, _ in asked]
    assert transactions == 1
    stored = Prediction.objects.order_by("pk").values_list("identifier", "model__name", "x")
    assert set(stored) == {(identifier, name, f'{{"n":{x["n"]}}}') for name, identifier, x in asked}


def test_of_one_identifier_the_first_is_kept(combiner, models, monkeypatch):
    asked = [
        ("a", "job", {"n": 1}),
        ("a", "job", {"n": 1}),
        ("a", "job", {"n": 2}),
        ("b", "job", {"n": 1}),
        ("b", "other", {"n": 0}),
    ]
    outcomes, _ = keep_together(combiner, asked, monkeypatch)
    assert [type(outcome) for outcome in outcomes] == [
        predict_points.PredictionResult,
        predict_points.PredictionResult,
        Conflict,
        Conflict,
        predict_points.PredictionResult,
    ]
    assert set(Prediction.objects.values_list("identifier", "model__name", "x")) == {
        ("job", "a", '{"n":1}'), ("other", "b", '{"n":0}')
    }  # fmt: skip


def test_one_whose_model_is_deleted_meanwhile_keeps_no_other_from_being_stored(combiner, models, monkeypatch):
    asked = [("a", "first", {"n": 0}), ("b", "second", {"n": 0}), ("b", "third", {"n": 0})]
    outcomes, transactions = keep_together(combiner, asked, monkeypatch, lambda: registry.delete("a"))
    assert isinstance(outcomes[0], NotFound)
    assert [answer.identifier for answer in outcomes[1:]] == ["second", "third"]
    assert transactions == 4
    assert set(Prediction.objects.values_list("identifier", "model__name")) == {("second", "b"), ("third", "b")}


def test_a_commit_that_fails_takes_nothing_of_the_quota(combiner, models, monkeypatch):
    ada = person("ada")
    owner = Owner(ada.pk, ada.username)

    def meanwhile():
        registry.delete("a")  # so that the shared commit fails
        block = 10_000  # that another request charged and has not spent
        with locks.transaction_for_writing():
            quota_usage.charge(owner, {PREDICTION_BYTES: block})
        PREDICTIONS.put_back(owner, block)

    asked = [("b", "first", {"n": 0}), ("b", "second", {"n": 0}), ("a", "third", {"n": 0})]
    outcomes, _ = keep_together(combiner, asked, monkeypatch, meanwhile, owner)
    assert isinstance(outcomes[2], NotFound)
    assert Prediction.objects.count() == 2
    PREDICTIONS.give_back(idle=0)
    assert recount() == []
    predict_points.predict("b", [{"n": 1}], identifier="next", keep=True, owner=owner)
    assert PREDICTIONS._left, "a block is charged again"
