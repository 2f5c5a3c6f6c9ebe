"""What a server does beside answering: it goes on whatever fails, holds nobody up, and two processes don't collide."""

import pytest
from river import linear_model

from server.core.db import locks
from server.learning import inspection, quarantine, registry
from server.learning.background import maintenance, rebuilds
from server.learning.fold import replay, snapshots
from server.learning.fold.replica_set import SETS
from server.learning.models import Model, Snapshot
from server.learning.predictions import predict_points
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


class PanicException(BaseException):
    """What river's Rust code raises when it panics: not an Exception."""


def linear():
    return linear_model.LinearRegression(intercept_lr=0.1)


def points(count):
    return [Point({"a": float(n % 7)}, float(n % 11)) for n in range(count)]


@pytest.fixture
def model():
    return registry.create("m", None, "regression", linear())


def retract(seq, name="m"):
    assert streams.retract(Stream.objects.get(name=name), seq, "wrong")


def maintain(monkeypatch):
    """One look at everything, without its pauses."""
    thread = maintenance.Maintenance(*maintenance.short_work(), *maintenance.folds())
    monkeypatch.setattr(thread._stopping, "wait", lambda seconds: False)
    thread.step()


def test_one_piece_of_work_that_fails_keeps_no_other_from_being_done(model, monkeypatch):
    learn_points.learn(model.stream_id, points(10))
    retract(3)
    registry.create("late", "m", "regression", linear())

    def panics(*args, **kwargs):
        raise PanicException("index out of bounds")

    monkeypatch.setattr(maintenance, "write_due_snapshots", panics)
    monkeypatch.setattr(maintenance, "evict", panics)
    maintain(monkeypatch)
    assert inspection.metrics("m")["learned"] == inspection.metrics("late")["learned"] == 9


def test_a_backfill_that_fails_in_whatever_way_says_so(model, monkeypatch):
    learn_points.learn(model.stream_id, points(10))
    registry.create("late", "m", "regression", linear())

    def panics(*args, **kwargs):
        raise PanicException("index out of bounds")

    monkeypatch.setattr(replay, "fold_log", panics)
    maintenance.work_on_backfills()
    failed = Model.objects.get(name="late")
    assert (failed.status, failed.error) == (Model.FAILED, "PanicException: index out of bounds")


def test_a_rebuild_that_fails_says_so_and_is_not_tried_again_at_once(model, monkeypatch):
    learn_points.learn(model.stream_id, points(10))
    retract(3)
    tries = []

    def fails(*args, **kwargs):
        tries.append(1)
        raise ValueError("no")

    with monkeypatch.context() as patched:
        patched.setattr(replay, "fold_log", fails)
        maintenance.rebuild_after_retractions()
        maintenance.rebuild_after_retractions()
    assert len(tries) == 1
    assert inspection.state("m")["error"] == "ValueError: no"
    assert inspection.metrics("m")["learned"] == 10  # served as before
    Model.objects.update(leased_until=None)
    maintenance.rebuild_after_retractions()
    assert "error" not in inspection.state("m")
    assert inspection.metrics("m")["learned"] == 9


def test_a_rebuild_that_another_process_did_in_the_meantime_is_not_begun(model, monkeypatch):
    """Two processes see the retraction at once; one is done before the other takes the lease."""
    learn_points.learn(model.stream_id, points(10))
    retract(3)
    lease, others = rebuilds.lease, []

    def late(*args, **kwargs):
        if not others:
            others.append(1)
            maintenance.rebuild_after_retractions()
        return lease(*args, **kwargs)

    monkeypatch.setattr(rebuilds, "lease", late)
    maintenance.rebuild_after_retractions()
    found = Model.objects.get(name="m")
    assert (found.status, found.generation, found.leased_until) == (Model.READY, 2, None)


def test_neither_a_rebuild_nor_a_backfill_folds_anything_while_it_holds_a_lock_or_a_transaction(model, monkeypatch):
    """What arrives meanwhile is caught up with by whoever asks next."""
    registry.create("n", "m", "regression", linear())
    learn_points.learn(model.stream_id, points(600))
    retract(3)
    feed, arrived = replay.fold_log, []

    def arriving(replica, *args, **kwargs):
        if len(arrived) < 3:
            learn_points.learn(model.stream_id, points(700))
            arrived.append(replica.name)
        assert not locks.connection.in_atomic_block
        assert getattr(locks._local, "stream", None) is None
        feed(replica, *args, **kwargs)

    monkeypatch.setattr(replay, "fold_log", arriving)
    maintenance.rebuild_after_retractions()
    registry.create("late", "m", "regression", linear())
    maintenance.work_on_backfills()
    assert arrived[:1] == ["m"]
    assert {inspection.metrics(name)["learned"] for name in ("m", "n", "late")} == {600 + 700 * len(arrived) - 1}
    for name in ("m", "n", "late"):
        verify(Model.objects.get(name=name))


def test_the_least_used_replicas_leave_first_and_the_last_used_stays(settings):
    ids = {}
    for name in "abc":
        ids[name] = registry.create(name, None, "regression", linear()).stream_id
        learn_points.learn(ids[name], points(3))
    predict_points.predict("a", [{"a": 1.0}])
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"replica_memory_mb": 1})
    for replicas in SETS.all():
        for replica in replicas.replicas.values():
            replica.size = 150_000

    def loaded() -> set[str]:
        """Streams with replicas in memory. A set that was unused for long, as on a slow machine, is removed as a whole."""
        return {name for name in ids if ids[name] in SETS._sets and SETS._sets[ids[name]].replicas}

    maintenance.evict()
    assert loaded() == {"c", "a"}
    for replica in SETS._sets[ids["a"]].replicas.values():
        replica.size = 10_000_000
    maintenance.evict()
    assert loaded() == {"a"}
    assert predict_points.predict("b", [{"a": 1.0}]).at == 3


def test_names_of_features_count_among_what_replicas_hold(settings):
    held = [registry.create(name, None, "regression", linear()).stream_id for name in "ab"]
    for stream_id in held:
        learn_points.learn(stream_id, points(3))
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"replica_memory_mb": 1})
    maintenance.evict()
    assert all(SETS._sets[stream_id].names for stream_id in held)
    SETS._sets[held[0]].names = {str(n) for n in range(3000)}
    maintenance.evict()
    assert not SETS._sets[held[0]].names
    assert SETS._sets[held[1]].names


def test_a_replica_from_a_snapshot_knows_its_size(model):
    learn_points.learn(model.stream_id, points(10))
    maintenance.write_due_snapshots(all_changed=True)
    stored = len(Snapshot.objects.get().state)
    assert snapshots.load(model, None, 10).size == stored


def test_a_snapshot_of_a_model_that_was_deleted_meanwhile_is_no_failure(model, monkeypatch):
    learn_points.learn(model.stream_id, points(10))
    state = b"state"
    exists = snapshots.add

    def deleted_by_then(model_id, generation, seq, state):
        Snapshot.objects.create(model_id=model_id + 1000, generation=generation, seq=seq, state=state, versions="")

    monkeypatch.setattr(snapshots, "add", deleted_by_then)
    snapshots.store(model.pk, 1, 10, state)
    monkeypatch.setattr(snapshots, "add", exists)
    assert not Snapshot.objects.exists()


def test_models_are_weighed_as_soon_as_the_process_has_grown(model):
    maintenance.write_due_snapshots()
    learn_points.learn(model.stream_id, points(10))
    assert maintenance.write_due_snapshots() == 0  # neither by count nor by time
    grown = bytearray(b"x") * (maintenance.GROWTH + 2**24)
    assert maintenance.write_due_snapshots() == 1
    learn_points.learn(model.stream_id, points(10))
    assert maintenance.write_due_snapshots() == 0
    del grown


def test_where_a_streams_models_are_too_large_together_who_takes_most_loses_the_largest(settings, django_user_model):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"replica_memory_mb": 1, "model_state_mb": 1})
    ada, eve = (django_user_model.objects.create(username=name).pk for name in ("ada", "eve"))
    stream = streams.create("s")
    for name, owner in (("good", ada), ("one", eve), ("two", eve)):
        registry.create(name, "s", "regression", linear(), owner_id=owner)
    wide = {f"{'f' * 100}{n}": 1.0 for n in range(4_000)}
    learn_points.learn(stream.pk, [Point(wide, 1.0)])
    maintenance.write_due_snapshots(all_changed=True)
    assert quarantine.settle() == 1
    left_out = Model.objects.get(status=Model.QUARANTINED)
    assert left_out.name in ("one", "two")
    assert "take about" in left_out.error and "at most 3 MB are allowed" in left_out.error
    learn_points.learn(stream.pk, points(1))
    maintenance.write_due_snapshots(all_changed=True)
    assert quarantine.settle() == 0
    assert inspection.metrics("good")["learned"] == 2
