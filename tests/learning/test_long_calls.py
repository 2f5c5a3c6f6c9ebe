"""Calls that take long have turns, with pauses in between; what is learned is the same."""

import contextlib
import threading
import time
from contextlib import nullcontext

import pytest
from river import linear_model

from server.learning import evaluation, registry
from server.learning.background import retention
from server.learning.budgets import long_calls
from server.learning.budgets.long_calls import CallLength
from server.learning.fold import flavors, replay
from server.learning.fold.estimator_errors import BrokenReplica
from server.learning.fold.replica import Replica
from server.learning.fold.replica_set import ReplicaSet
from server.learning.models import Model

pytestmark = pytest.mark.one_database

PATIENCE = 60


def burn(seconds: float) -> None:
    """Use the CPU for so long."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


class Slow(linear_model.LinearRegression):
    """Learns and predicts as linear regression does; a point may say how long each takes, and that learning fails."""

    def predict_one(self, x):
        burn(x.get("predict", 0.0))
        return super().predict_one({"a": x["a"]})

    def learn_one(self, x, y):
        burn(x.get("learn", 0.0))
        if "fail" in x:
            raise ValueError("as told")
        super().learn_one({"a": x["a"]}, y)


def replica(model_id: int = 1) -> Replica:
    return Replica(model_id, "m", 1, flavors.get("regression"), Slow(), n=0, window=50)


@pytest.fixture(autouse=True)
def lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_calls, "LONG", 0.02)
    monkeypatch.setattr(long_calls, "_lengths", {})


def known(*cpu: float) -> CallLength:
    """What is known after calls that used so much CPU time each."""
    length = CallLength()
    for seconds in cpu:
        length.record(seconds)
    return length


LONG_CALL, SHORT_CALL = 1.0, 0.001


def test_a_second_long_call_begins_after_the_pause_of_the_first(monkeypatch):
    events: list[str] = []
    waiting = threading.Event()
    first_model, second_model = known(LONG_CALL), known(LONG_CALL)

    def pause(seconds: float) -> None:
        if threading.current_thread() is thread:
            return
        events.append("pause")
        waiting.set()
        assert not second_began.wait(0.2)
        events.append("pause over")

    second_began = threading.Event()
    monkeypatch.setattr(long_calls.time, "sleep", pause)

    def second() -> None:
        assert waiting.wait(PATIENCE)
        with second_model.turn():
            events.append("second")
            second_began.set()

    thread = threading.Thread(target=second)
    thread.start()
    with first_model.turn():
        burn(0.03)
    thread.join(PATIENCE)
    assert first_model.is_long
    assert events == ["pause", "pause over", "second"]


def test_a_short_call_is_followed_by_no_pause(monkeypatch):
    monkeypatch.setattr(long_calls.time, "sleep", lambda seconds: pytest.fail("it paused"))
    length = CallLength()
    with length.turn(1):
        pass
    assert length.is_short and not length.is_long


@contextlib.contextmanager
def first_call(owner: int):
    """A first call of a model of this owner that another thread is in."""
    begun, over = threading.Event(), threading.Event()

    def call() -> None:
        with CallLength().turn(owner):
            begun.set()
            over.wait(PATIENCE)

    thread = threading.Thread(target=call)
    thread.start()
    assert begun.wait(PATIENCE)
    yield
    over.set()
    thread.join(PATIENCE)


def test_first_calls_of_one_owners_models_are_made_one_by_one_and_hold_others_up_for_a_moment(monkeypatch):
    monkeypatch.setattr(long_calls, "PATIENCE", 0.01)
    done: list[int] = []

    def call(owner: int) -> None:
        with CallLength().turn(owner):
            done.append(owner)

    with first_call(1):
        with CallLength().turn(2):
            pass
        thread = threading.Thread(target=call, args=(1,))
        thread.start()
        thread.join(0.2)
        assert not done
    thread.join(PATIENCE)
    assert done == [1]


def test_a_model_that_made_one_long_call_counts_as_slow_until_many_were_short_and_longer_each_time():
    length = known(SHORT_CALL)
    assert length.is_short
    for many in (long_calls.MANY, long_calls.MANY * long_calls.MORE):
        length.record(LONG_CALL)
        for _ in range(many - 1):
            length.record(SHORT_CALL)
            assert length.is_long and not length.is_short
        length.record(SHORT_CALL)
        assert length.is_short and not length.is_long


def test_a_model_whose_calls_took_long_together_is_measured_but_waits_for_nobody():
    length = known(SHORT_CALL)
    with known(LONG_CALL).turn(), first_call(1):
        length.doubt()
        for _ in range(long_calls.MANY):
            assert not length.is_short
            with length.turn(1):
                pass
    assert length.is_short
    length.doubt()
    length.record(LONG_CALL)
    assert length.is_long


def test_all_replicas_of_a_model_know_how_long_its_calls_are():
    first, again, other = replica(), replica(), replica(2)
    first.advance(1, [{"a": 1.0, "learn": 0.05}], [1.0])
    assert again.learning.is_long
    assert other.learning.features < 0


def test_short_calls_before_a_long_one_hide_nothing_in_a_replay():
    model = replica()
    xs = [{"a": 1.0}, *({"a": 1.0, "learn": 0.05 * (n % 2)} for n in range(8))]
    for n, x in enumerate(xs, 1):
        replay.advance(model, n, [x], [1.0], {}, {})
    assert model.learning.is_long


def test_a_point_with_many_more_features_is_a_first_call(monkeypatch):
    model = replica()
    model.predict({"a": 1.0})
    model.advance(1, [{"a": 1.0}], [1.0])
    assert model.learning.is_short and model.predicting.is_short
    measured: list[int] = []
    monkeypatch.setattr(
        long_calls, "_Turn", lambda length, features, *locks: measured.append(features) or nullcontext()
    )
    model.predict({"a": 1.0, "b": 1.0})
    model.advance(2, [{"a": 1.0, "b": 1.0}], [1.0])
    assert measured == []
    many = {"a": 1.0, "b": 1.0, "c": 1.0}
    model.predict(many)
    model.advance(3, [{"a": 1.0}, many], [1.0, 1.0])
    assert measured == [3, 1, 3]


def test_a_stream_whose_models_make_long_calls_counts_as_slow_at_once():
    replicas = ReplicaSet(1)
    replicas.replicas = {1: replica()}
    replicas.record_learning(0.01, 0.01)
    assert not replicas.waiting.has_long_calls
    replicas.replicas[1].learning.record(LONG_CALL)
    replicas.record_learning(LONG_CALL, LONG_CALL)
    assert replicas.waiting.has_long_calls
    for _ in range(long_calls.MANY):
        replicas.replicas[1].learning.record(SHORT_CALL)
    replicas.record_learning(0.01, 0.01)
    assert not replicas.waiting.has_long_calls


def test_predictions_and_metrics_are_those_of_a_run_without_turns():
    xs = [{"a": float(n), "learn": 0.05 * (n in (2, 5))} for n in range(8)]
    ys = [float(n % 3) for n in range(8)]
    plain, turned = replica(1), replica(2)
    plain.learning.record(SHORT_CALL, 2)
    expected = plain.advance(1, xs, ys)
    turned.learning.record(LONG_CALL)
    assert turned.advance(1, xs, ys) == expected
    assert turned.n == plain.n == 8
    assert turned.metrics.state() == plain.metrics.state()
    assert turned.learned == plain.learned


def test_a_failure_names_the_point_within_the_request():
    model = replica()
    model.learning.record(LONG_CALL)
    xs = [{"a": 1.0, "learn": 0.05}, {"a": 2.0, "learn": 0.05}, {"a": 3.0, "fail": 1.0}]
    with pytest.raises(BrokenReplica) as caught:
        model.advance(1, xs, [1.0, 2.0, 3.0])
    assert (caught.value.offset, caught.value.reason) == (2, "ValueError: as told")


def test_a_copy_of_a_model_predicts_in_the_models_turns():
    """As coverage and selections do, a thousand times for one request."""
    original = replica()
    original.predicting = known(LONG_CALL)
    model = Model(pk=1, name="m", flavor="regression", since=0)
    copy = evaluation.ModelCopy(model, original)
    held, done, events = threading.Event(), threading.Event(), []

    def hold() -> None:
        with original.predicting.turn(1):
            held.set()
            done.wait(0.2)
            events.append("the other call ends")

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(PATIENCE)
    assert copy.estimate({"a": 1.0}) is not None
    events.append("the copy has predicted")
    done.set()
    thread.join()
    assert events == ["the other call ends", "the copy has predicted"]


@pytest.mark.django_db
def test_a_large_state_that_a_retention_keeps_is_written_and_read_in_turns(monkeypatch):
    turns: list[int] = []
    monkeypatch.setattr(replay, "turn_for_state", lambda size: turns.append(size) or nullcontext())
    model = registry.create("m", None, "regression", linear_model.LinearRegression())
    state = retention._state(model, 0, None, "")
    assert len(state) in turns
    assert len(turns) >= 2
