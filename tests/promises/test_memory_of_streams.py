"""What a process keeps of streams is bounded, counted, and gone with them; and no request loses a set that it works with."""

import threading
import time

import pytest
from django.db import connection
from river import linear_model

from server.core.db import locks
from server.core.errors import Invalid, NotFound
from server.core.validation import MOST_BYTES_OF_SHAPES, Checker
from server.learning import registry
from server.learning.background import backfills, maintenance
from server.learning.concurrency import waiting_threads
from server.learning.fold import familiarity
from server.learning.fold.replica_set import SETS, ReplicaSet
from server.learning.models import Model
from server.learning.predictions import predict_points
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "\U0001f600" + "n" * 190
"""A name that takes four bytes a character."""


def names(how_many: int, mark: object) -> dict[str, float]:
    return {f"{LONG}{mark}-{number}": 1.0 for number in range(how_many)}


def with_a_model(name: str) -> int:
    """A stream with a model, both of that name."""
    return registry.create(name, None, "regression", linear_model.LinearRegression()).stream_id


def learn(stream_id: int, *values: float) -> None:
    learn_points.learn(stream_id, [Point({"a": value}, 1.0) for value in values])


def known(stream_id: int) -> bool:
    return any(replicas.stream_id == stream_id for replicas in SETS.all())


def not_asked_for(*stream_ids: int, seconds: float = maintenance.QUIET + 1) -> None:
    for replicas in SETS.all():
        if replicas.stream_id in stream_ids:
            replicas.used -= seconds


# What a checker remembers


def test_a_checker_remembers_no_more_than_it_may_of_many_names_however_long():
    check = Checker(None, "number")
    for mark in range(20):
        check.x(names(100, mark))
        check.x(names(100, mark))  # counted once
        assert 0 < check.size <= MOST_BYTES_OF_SHAPES
    assert check.pass_quick_check([names(100, 19)], [1.0])
    check.x(names(5000, "many"))  # more than it remembers of all together
    assert check.size <= MOST_BYTES_OF_SHAPES
    assert not check.pass_quick_check([names(5000, "many")], [1.0])
    assert check.pass_quick_check([names(100, 19)], [1.0])
    check.forget()
    assert check.size == 0
    assert not check.pass_quick_check([names(100, 19)], [1.0])


def test_a_checker_remembers_nothing_of_points_that_it_refuses():
    check = Checker(None, "number")
    for value in ({}, float("nan"), "\x00"):
        with pytest.raises(Invalid):
            check.x({"a": 1, "b": value})
    with pytest.raises(Invalid):
        Checker({"a": "number"}, "number").x({"a": "text"})
    assert check.size == 0
    check.x({"a": 1, "b": 2})
    assert check.size > 0


# What is counted, and let go when all together is too much


@pytest.mark.parametrize("what", ["checker", "declared", "seen", "shapes"])
def test_all_that_grows_with_names_counts_among_what_replica_sets_hold(settings, what):
    held = [streams.create(name, target_kind="number").pk for name in "ab"]
    for stream_id in held:
        learn(stream_id, 1)
    first = SETS.of(held[0])
    SETS.of(held[1])  # the one used last stays
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"replica_memory_mb": 1})
    maintenance.evict()
    assert first.names and first.familiarity is not None
    if what == "checker":
        for mark in range(10):
            first.checker.x(names(100, mark))
        first.names = {str(n) for n in range(500)}
        assert first.checker.size < MOST_BYTES_OF_SHAPES
    elif what == "declared":
        first.checker.features = dict.fromkeys(names(2000, ""), "number")
    elif what == "seen":
        first.seen._kinds = dict.fromkeys(names(2000, ""), "number")
    else:
        summary = first.familiarity.at(1)
        summary._shapes[tuple(names(2000, ""))], summary._names = None, 2000
    maintenance.evict()
    assert not first.names
    assert first.familiarity is None
    assert (first.checker.size, first.seen.names) == (0, 0)
    learn(held[0], 2)
    assert first.names == {"a"}


def test_a_set_that_was_let_go_is_forgotten_once_nobody_asks_for_it(settings):
    held = [streams.create(name, target_kind="number").pk for name in "ab"]
    for stream_id in held:
        learn(stream_id, 1)
    first = SETS.of(held[0])
    SETS.of(held[1])
    first.names = {str(n) for n in range(3000)}
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"replica_memory_mb": 1})
    maintenance.evict()
    assert (len(first.names), known(held[0])) == (0, True)  # a thread may just be on its way to it
    first.names = {str(n) for n in range(3000)}
    not_asked_for(held[0])
    maintenance.evict()
    assert not known(held[0])
    learn(held[0], 2)
    assert SETS.of(held[0]) is not first


# What is forgotten


def test_what_is_known_of_a_stream_goes_with_it():
    gone, stays = with_a_model("m"), streams.create("stays", target_kind="number").pk
    learn(gone, 1)
    learn(stays, 1)
    mine = SETS.of(stays)
    Stream.objects.get(pk=gone).delete()
    maintenance.forget()
    assert known(gone)  # it was asked for just now
    not_asked_for(gone, stays)
    maintenance.forget()
    assert not known(gone)
    assert SETS.of(stays) is mine
    with pytest.raises(NotFound):
        learn(gone, 2)
    not_asked_for(gone)
    maintenance.forget()  # a late request brings it back for a moment alone
    assert not known(gone)


def test_streams_without_models_that_nobody_asks_for_are_forgotten_and_known_again():
    bare = streams.create("bare", target_kind="number").pk
    with_model = with_a_model("m")
    for stream_id in (bare, with_model):
        learn(stream_id, 3)
        not_asked_for(stream_id, seconds=maintenance.UNUSED - 60)
    maintenance.forget()
    assert known(bare)
    not_asked_for(bare, with_model, seconds=61)
    maintenance.forget()
    assert (known(bare), known(with_model)) == (False, True)
    learn(bare, 5)
    assert SETS.of(bare).familiarity.at(2).count == 2
    assert predict_points.predict("m", [{"a": 3}]).at == 1


def test_slow_streams_of_owners_who_do_not_come_again_are_forgotten():
    mark = waiting_threads.WaitingThreads(2)
    waiting_threads._slow_streams[-1] = {mark: time.monotonic() - waiting_threads.SLOW_STREAM_SECONDS - 1}
    waiting_threads._slow_streams[-2] = {mark: time.monotonic()}
    try:
        maintenance.forget()
        assert -1 not in waiting_threads._slow_streams
        assert -2 in waiting_threads._slow_streams
    finally:
        waiting_threads._slow_streams.clear()


def test_turns_of_backfills_that_are_over_are_forgotten_before_they_are_too_many(monkeypatch):
    over = {-number: 0.0 for number in range(1, backfills.MOST_WAITING + 2)}
    monkeypatch.setattr(backfills, "_turns", over)
    model = Model.objects.get(pk=registry.create("m", None, "regression", linear_model.LinearRegression()).pk)
    learn(model.stream_id, 1)
    Model.objects.update(status=Model.BACKFILLING)
    backfills.work_on_backfills()
    assert list(over) == [model.pk]


# What is in use stays


def in_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("use", ["lock", "write", "wait", "slow"])
def test_a_set_that_is_in_use_is_not_forgotten(use):
    pk = streams.create("s", target_kind="number").pk
    learn(pk, 1)
    replicas = SETS.of(pk)
    Stream.objects.get(pk=pk).delete()
    not_asked_for(pk)
    if use == "lock":
        with replicas.lock:
            maintenance.forget()
    elif use == "write":
        writers, goes_on, begun = replicas.writers, threading.Event(), threading.Event()

        def work(group):
            begun.set()
            assert goes_on.wait(30)
            return []

        writers._work = work
        thread = in_thread(
            lambda: writers.submit(learn_points.Submission(replicas, learn_points.Points([], [], {}), []))
        )
        assert begun.wait(30)
        maintenance.forget()
        assert known(pk)
        goes_on.set()
        thread.join(30)
    elif use == "wait":
        replicas.waiting.start()
        maintenance.forget()
        assert known(pk)
        replicas.waiting.leave()
    else:
        replicas.waiting._slow_until = time.monotonic() + 100
        maintenance.forget()
        assert known(pk)
        replicas.waiting._slow_until = 0.0
    assert known(pk)
    maintenance.forget()
    assert not known(pk)


class _At:
    """A set's time of use that somebody meddles with as it is told."""

    def __init__(self, meddle) -> None:
        self.meddle = meddle

    def __set_name__(self, owner, name) -> None:
        self.name = "_" + name

    def __get__(self, one, owner=None) -> float:
        return one.__dict__[self.name]

    def __set__(self, one, value) -> None:
        self.meddle(one)
        one.__dict__[self.name] = value


def test_who_asks_while_a_set_is_forgotten_has_the_one_that_others_find(monkeypatch):
    pk = streams.create("s", target_kind="number").pk
    before = SETS.of(pk)
    not_asked_for(pk)
    forgotten = []

    def forget_meanwhile(one) -> None:
        """Between finding a set and saying that it is used."""
        if not forgotten:
            forgotten.append(SETS.forget(pk, maintenance.QUIET))

    used = before.used
    at = _At(forget_meanwhile)
    at.name = "_used"
    monkeypatch.setattr(ReplicaSet, "used", at, raising=False)
    before.__dict__["_used"] = used
    mine = SETS.of(pk)
    assert forgotten == [True]
    assert mine is SETS.of(pk)
    assert mine is not before


def test_a_set_that_is_asked_for_while_it_is_taken_out_is_put_back(monkeypatch):
    pk = streams.create("s", target_kind="number").pk
    mine = SETS.of(pk)
    not_asked_for(pk)
    # Whoever asks is told of it after the first look and before the last.
    monkeypatch.setattr(ReplicaSet, "is_idle", property(lambda one: SETS.of(pk) is one))
    assert not SETS.forget(pk, maintenance.QUIET)
    assert SETS.of(pk) is mine


def test_threads_that_hold_different_sets_of_a_stream_write_one_after_the_other(monkeypatch, tmp_path):
    # As where SQLite's file is no memory: PostgreSQL has locks of its own.
    paths = locks._Paths(str(tmp_path / "t.lock"), str(tmp_path / "t.streams.lock"))
    monkeypatch.setattr(locks, "_beside", lambda name: paths)
    pk = with_a_model("m")
    learn(pk, 0)
    old = SETS.of(pk)
    SETS.clear()
    learn(pk, 1)
    new = SETS.of(pk)
    assert new is not old
    failed = []

    def write(replicas) -> None:
        try:
            for value in range(20):
                points = learn_points.Points.of([Point({"a": value}, 1.0)])
                submission = learn_points.Submission(replicas, points, learn_points._encoded(points))
                learn_points._combiner(replicas).submit(submission)
                if submission.error is not None:
                    raise submission.error
        except BaseException as exc:
            failed.append(exc)
        finally:
            connection.close()

    threads = [in_thread(lambda one=one: write(one)) for one in (old, new, old, new)]
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert Stream.objects.get(pk=pk).head == 82
    assert predict_points.predict("m", [{"a": 1}]).at == 82
    assert familiarity.whole(Stream.objects.get(pk=pk), 82).count == 82
    assert {replica.learned for replica in new.replicas.values()} == {82}
