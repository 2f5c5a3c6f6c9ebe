"""Backfills and rebuilds take turns in a process: a slow one holds no other up, and none loses what it has done."""

from datetime import timedelta

import pytest
from river import linear_model

from server.learning import registry
from server.learning.background import backfills, leases, maintenance, rebuilds
from server.learning.fold import replay
from server.learning.models import Model, Snapshot
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

POINTS = 2_000


@pytest.fixture
def fed(monkeypatch):
    """The models folded and how far, chunk by chunk; every chunk ends a turn for which others wait."""
    monkeypatch.setattr(leases, "TURN", 0.0)
    monkeypatch.setattr(leases, "SPACING", 0.0)
    chunks, feed = [], replay.fold_log

    def watched(replica, model, leaves_out, upto, progress=None, **others):
        def noted(n):
            chunks.append((model.name, n))
            progress(n)

        feed(replica, model, leaves_out, upto, progress=noted if progress else None, **others)

    monkeypatch.setattr(replay, "fold_log", watched)
    yield chunks
    assert not rebuilds._under_way
    assert not leases.LeaseKeeper._waiting


def stream_of(name):
    model = registry.create(name, None, "regression", linear_model.LinearRegression())
    for _ in range(2):
        learn_points.learn(model.stream_id, [Point({"a": float(n % 7)}, float(n % 11)) for n in range(POINTS // 2)])
    return Stream.objects.get(pk=model.stream_id)


def statuses():
    return set(Model.objects.values_list("status", flat=True))


def fold_until_all_are_ready():
    for _ in range(200):
        rebuilds.rebuild_after_retractions()
        backfills.work_on_backfills()
        if statuses() == {Model.READY}:
            return
    raise AssertionError(list(Model.objects.values("name", "status", "progress")))


def test_rebuilds_and_backfills_of_several_streams_come_on_side_by_side(fed):
    for name in "ab":
        streams.retract(stream_of(name), 3, "wrong")
    stream_of("c")
    registry.create("late", "c", "regression", linear_model.LinearRegression())
    fold_until_all_are_ready()
    first = {name: next(at for at, (other, _) in enumerate(fed) if other == name) for name in ("a", "b", "late")}
    last = {name: max(at for at, (other, _) in enumerate(fed) if other == name) for name in first}
    assert max(first.values()) < min(last.values()), fed
    for name in first:
        reached = [n for other, n in fed if other == name]
        assert reached == sorted(reached) and len(set(reached)) == len(reached)  # nothing was folded twice
        verify(Model.objects.get(name=name))


def test_who_folds_keeps_the_lease_of_who_waits(fed):
    streams.retract(stream_of("a"), 3, "wrong")
    stream_of("c")
    registry.create("late", "c", "regression", linear_model.LinearRegression())
    rebuilds.rebuild_after_retractions()
    waiting = Model.objects.filter(name="a", status=Model.REBUILDING)
    almost_over = waiting.get().leased_until - timedelta(seconds=29)
    waiting.update(leased_until=almost_over)
    backfills.work_on_backfills()
    assert waiting.get().leased_until > almost_over
    fold_until_all_are_ready()


def test_a_rebuild_that_was_taken_over_while_it_waited_is_left_to_the_other(fed):
    streams.retract(stream_of("a"), 3, "wrong")
    stream_of("c")
    registry.create("late", "c", "regression", linear_model.LinearRegression())
    rebuilds.rebuild_after_retractions()
    assert rebuilds._under_way
    Model.objects.filter(name="a").delete()
    backfills.work_on_backfills()
    rebuilds.rebuild_after_retractions()
    assert not rebuilds._under_way
    fold_until_all_are_ready()


def test_a_fold_for_which_nobody_waits_goes_on(fed):
    streams.retract(stream_of("a"), 3, "wrong")
    maintenance.rebuild_after_retractions()
    assert statuses() == {Model.READY}
    assert len(fed) > 1


def test_a_backfill_whose_model_was_stopped_meanwhile_stores_no_snapshot(monkeypatch):
    """The model skips what came since it was stopped; a state that has learned that is another's."""
    stream = stream_of("first")
    registry.create("late", stream.name, "regression", linear_model.LinearRegression())
    head_of, asked = backfills.head_of, []

    def stopped_meanwhile(stream_id):
        asked.append(stream_id)
        if len(asked) == 2:  # it has folded everything, and is about to serve
            Model.objects.filter(name="late").update(status=Model.QUARANTINED)
        return head_of(stream_id)

    monkeypatch.setattr(backfills, "head_of", stopped_meanwhile)
    maintenance.work_on_backfills()
    late = registry.find("late")
    assert len(asked) == 2
    assert late.status == Model.QUARANTINED
    assert not Snapshot.objects.filter(model=late).exists()
