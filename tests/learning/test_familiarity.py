"""What a process knows of a stream: all that was committed, from whichever process, at the cost of what is new."""

import gc
import weakref
from collections.abc import Iterator

import pytest
from django.db import DatabaseError
from river import linear_model

from server.core.errors import Invalid, Unavailable
from server.learning import registry
from server.learning.background import maintenance
from server.learning.background.retention import carry_out, plan
from server.learning.fold import familiarity
from server.learning.fold.replica_set import SETS
from server.learning.predictions import predict_points
from server.learning.write_path import learn_points
from server.streams import feature_warnings, log
from server.streams import registry as streams
from server.streams.models import Stream, StreamSummary
from server.streams.points import Point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stream() -> int:
    made = streams.create("s", target_kind="number")
    registry.create("m", "s", "regression", linear_model.LinearRegression())
    return made.pk


@pytest.fixture
def rows(monkeypatch) -> Iterator[list[int]]:
    """Numbers of the first observations of what is read from the log to know what the stream has seen."""
    read: list[int] = []
    features = log.features

    def noted(*given):
        for first, xs in features(*given):
            read.append(first)
            yield first, xs

    monkeypatch.setattr(log, "features", noted)
    return read


def learn(stream_id: int, *values, **more) -> None:
    learn_points.learn(stream_id, [Point({"a": value, **more}, 1.0) for value in values])


def codes(**x) -> list[str]:
    return [fault.code for fault in predict_points.predict("m", [x or {"a": 1}]).faults]


def seen() -> list[str]:
    """The range of ``a``, as a message tells it."""
    return [fault.seen for fault in predict_points.predict("m", [{"a": -99}]).faults]


def another_process() -> None:
    SETS.clear()


def test_what_is_learned_is_known_at_once_and_nothing_is_read_or_written_for_it(stream, rows):
    assert codes(new=1) == []  # a stream that has seen nothing expects nothing
    for value in (3, 5, 4):
        learn(stream, value)
        assert codes(a=4 if value != 3 else 3) == []
    assert (codes(a=6), seen()) == (["outside"], ["seen: 3 to 5"])
    assert codes(b=1) == ["unknown_feature", "missing_feature"]
    learn(stream, *range(6, 300))
    assert (seen(), rows, StreamSummary.objects.count()) == (["seen: 3 to 299"], [], 0)


def test_a_new_process_reads_only_what_came_after_the_stored_summary(stream, rows):
    for value in (3, 5):
        learn(stream, value)
    maintenance.keep_summaries(all_changed=True)
    learn(stream, 8)
    learn(stream, 9)
    another_process()
    assert seen() == ["seen: 3 to 9"]
    assert all(first > 2 for first in rows)
    assert SETS.of(stream).familiarity.whole.count == 4


@pytest.mark.parametrize("stored", ["", "[]", "{}", '{"count": 1, "features": {"a": [1]}}'])
def test_a_summary_that_can_not_be_read_is_made_anew(stream, stored):
    learn(stream, 3, 5)
    StreamSummary.objects.create(stream_id=stream, upto=2, summary=stored)
    another_process()
    learn(stream, 8)
    assert seen() == ["seen: 3 to 8"]


def test_a_process_follows_what_another_one_learns(stream, rows):
    learn(stream, 3)
    assert seen() == ["seen: 3"]
    mine = SETS.of(stream)
    another_process()
    learn(stream, 7)
    learn(stream, 5)
    theirs = SETS.of(stream)
    SETS.clear()
    SETS._sets[stream] = mine
    assert seen() == ["seen: 3 to 7"]
    learn(stream, 2)
    SETS._sets[stream] = theirs
    assert seen() == ["seen: 2 to 7"]
    assert mine.familiarity.at(4).to_json() == theirs.familiarity.at(4).to_json()


def test_what_was_not_committed_was_not_seen(stream, monkeypatch):
    learn(stream, 3)
    assert seen() == ["seen: 3"]
    append = log.append
    monkeypatch.setattr(log, "append", lambda *given, **more: (_ for _ in ()).throw(DatabaseError("full")))
    with pytest.raises(Unavailable):
        learn(stream, 1000)
    monkeypatch.setattr(log, "append", append)
    assert seen() == ["seen: 3"]
    learn(stream, 4)
    assert seen() == ["seen: 3 to 4"]
    another_process()
    assert seen() == ["seen: 3 to 4"]


def test_a_long_log_is_read_by_maintenance_and_until_then_points_are_unchecked(stream, monkeypatch):
    monkeypatch.setattr(familiarity, "READ_AT_ONCE", 50)
    monkeypatch.setattr(familiarity, "STRETCH", 0)  # a row at a time
    for start in (0, 100, 200):
        learn(stream, *range(start, start + 100))
    maintenance.write_due_snapshots(all_changed=True)
    another_process()
    (fault,) = predict_points.predict("m", [{"b": 1}]).faults
    assert fault.code == "unchecked"
    assert feature_warnings.shortened([fault]) == [fault]
    assert "0 of 300 observations" in fault.statement
    with pytest.raises(Unavailable, match="try again, or send the request without strict"):
        predict_points.predict("m", [{"a": 1}], strict=True)
    maintenance.keep_summaries()
    learn(stream, 1000)  # on the way
    assert codes() == ["unchecked"]
    maintenance.keep_summaries(all_changed=True)  # what was read is stored as it is
    assert StreamSummary.objects.get().upto == 200
    maintenance.keep_summaries(all_changed=True)
    assert seen() == ["seen: 0 to 1000"]
    assert StreamSummary.objects.get().upto == 301


def test_it_is_stored_when_a_snapshot_would_be_and_never_an_older_one(stream, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"snapshot_points": 10})
    learn(stream, *range(9))
    maintenance.keep_summaries()
    assert not StreamSummary.objects.exists()  # neither by count nor by time
    learn(stream, 9)
    SETS.of(stream).familiarity.stored_at -= 2 * familiarity.SPACING
    maintenance.keep_summaries()
    assert StreamSummary.objects.get().upto == 10
    familiarity.store(stream, 4, "{}")
    assert StreamSummary.objects.get().upto == 10
    familiarity.store(stream + 1000, 4, "{}")  # a stream that was deleted meanwhile
    Stream.objects.all().delete()
    assert not StreamSummary.objects.exists()


def test_sets_that_are_let_go_are_taken_up_again(stream, settings):
    learn(stream, 3, 8)
    assert seen() == ["seen: 3 to 8"]
    replicas = SETS.of(stream)
    streams.create("other")
    SETS.of(streams.find("other").pk)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"replica_memory_mb": 0})
    maintenance.evict()
    assert replicas.familiarity is None
    assert seen() == ["seen: 3 to 8"]


def test_a_retracted_point_and_one_that_is_not_kept_was_seen_all_the_same(stream):
    learn(stream, 3, 1000)
    learn(stream, 5, 6)
    streams.retract(streams.find("s"), 2, "wrong")
    maintenance.rebuild_after_retractions()
    assert seen() == ["seen: 3 to 1000"]
    carry_out(plan(streams.find("s"), 3, None))
    another_process()
    assert seen() == ["seen: 3 to 1000"]


def test_a_stream_that_declares_its_features_is_held_to_those_alone():
    made = streams.create("d", target_kind="number", features=["a"])
    registry.create("m", "d", "regression", linear_model.LinearRegression())
    learn(made.pk, 3)
    assert codes(a=1000) == []
    assert SETS.of(made.pk).familiarity is None
    for strict in (False, True):
        with pytest.raises(Invalid, match="unknown b; missing a"):
            predict_points.predict("m", [{"b": 1}], strict=strict)


def test_a_stream_of_descriptors_knows_names_and_kinds_but_no_ranges():
    made = streams.create("d", target_kind="number", descriptor="soap")
    registry.create("m", "d", "regression", linear_model.LinearRegression())
    learn_points.learn(made.pk, [Point({"s1": 0.5, "s2": 0.1}, 1.0)], descriptor="soap")
    assert codes(s1=1e9, s2=0) == []
    assert codes(s1=1e9, s3=0) == ["unknown_feature", "missing_feature"]


def waiting(stream_id: int) -> int:
    """Values of points that wait to be taken in."""
    return sum(len(x) for x in SETS.of(stream_id).familiarity._waiting)


def test_points_wait_to_be_taken_in_only_while_they_have_few_values(monkeypatch):
    monkeypatch.setattr(familiarity, "ALL_COUNT", 0)  # a long stream
    stream = streams.create("s").pk  # no model takes part in it
    text = "\U0001f600" * 500
    for _ in range(3):
        learn(stream, 1, **{f"b{n}": text for n in range(familiarity.MOST_VALUES)})
        assert waiting(stream) == 0
    for _ in range(40):
        learn(stream, 1, **{f"b{n}": text for n in range(9)})
        assert waiting(stream) < familiarity.MOST_VALUES
    learn(stream, *range(familiarity.WAITING + 1))
    assert waiting(stream) == 0
    for count in range(1, 11):  # few small ones wait
        learn(stream, 1)
        assert waiting(stream) == count
    assert SETS.of(stream).familiarity.at(3 + 40 + familiarity.WAITING + 1 + 10).count == 118


@pytest.mark.parametrize("has_model", [True, False])
def test_no_point_waits_once_nobody_uses_the_stream(has_model):
    made = streams.create("s", target_kind="number")
    if has_model:
        registry.create("m", "s", "regression", linear_model.LinearRegression())
    learn(made.pk, 3, 5)
    replicas = SETS.of(made.pk)
    maintenance.keep_summaries()
    assert len(replicas.familiarity._waiting) == 2
    replicas.used -= maintenance.QUIET + 1
    maintenance.keep_summaries()
    assert not replicas.familiarity._waiting
    assert replicas.familiarity.whole.count == 2


def test_what_a_stream_without_models_has_seen_is_stored_too_and_its_first_model_reads_no_more(rows):
    made = streams.create("s", target_kind="number")
    learn(made.pk, 3, 5)
    maintenance.keep_summaries(all_changed=True)
    assert StreamSummary.objects.get().upto == 2
    another_process()
    learn(made.pk, 8)
    maintenance.keep_summaries(all_changed=True)
    registry.create("m", "s", "regression", linear_model.LinearRegression())
    maintenance.work_on_backfills()
    rows.clear()
    assert (seen(), rows) == (["seen: 3 to 8"], [])


def test_points_that_wait_go_with_their_stream():
    made = streams.create("s", target_kind="number")
    learn(made.pk, 3)
    known = weakref.ref(SETS.of(made.pk).familiarity)
    Stream.objects.all().delete()
    SETS.of(made.pk).used -= maintenance.QUIET + 1
    maintenance.forget()
    gc.collect()
    assert known() is None
