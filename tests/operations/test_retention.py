"""A log that isn't kept whole: models stay what they are, and whoever needs what is gone hears so."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from river import linear_model, preprocessing, tree

from server.accounts.models import AuditEntry
from server.core.db import batched_deletion
from server.core.errors import Conflict, Gone, Invalid
from server.learning import inspection, registry
from server.learning.background import maintenance, retention
from server.learning.fold.replica_set import SETS
from server.learning.models import Model, Snapshot
from server.learning.predictions import predict_points
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import log
from server.streams import registry as streams
from server.streams.models import Batch, Stream
from server.streams.points import Note, Point

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

SIZES = (1, 7, 120, 300, 1, 1, 70)
HEAD = sum(SIZES)
PROBES = [{"x": 1.0, "y": 2.0}, {"x": 7.5, "y": 0.1}]


def point(n):
    return Point({"x": n % 13 / 2, "y": n % 7 / 3}, 3 * (n % 13) - n % 7, Note(key=f"k{n}"))


@pytest.fixture
def stream() -> Stream:
    """One with two models, in batches of all sizes, and a point that was retracted."""
    made = streams.create("s", target_kind="number")
    registry.create("m", "s", "regression", preprocessing.StandardScaler() | linear_model.LinearRegression())
    registry.create("t", "s", "regression", tree.HoeffdingAdaptiveTreeRegressor(grace_period=30, seed=3))
    n = 0
    for size in SIZES:
        learn_points.learn(made.pk, [point(n + k) for k in range(size)])
        n += size
    streams.retract(made, 5, "wrong")
    maintenance.rebuild_after_retractions()
    return streams.find("s")


def retain(upto, every=None):
    return retention.carry_out(retention.plan(streams.find("s"), upto, every))


def seen():
    """What the models say now."""
    return {
        name: (
            predict_points.predict(name, PROBES, fields=("0", "1")).predictions,
            inspection.metrics(name),
            inspection.history(name),
        )
        for name in "mt"
    }


def numbers() -> list[int]:
    """The observations that are there."""
    found = log.spans(streams.find("s").pk, 0)
    return [span.first + n for span in found for n, x in enumerate(span.xs) if x is not None]


@pytest.mark.parametrize(("upto", "every"), [(250, None), (250, 10), (8, None), (HEAD - 1, None), (HEAD - 1, 100)])
def test_models_stay_bit_for_bit_what_they_were_here_and_in_a_new_process(stream, upto, every):
    before = seen()
    retain(upto, every)
    assert seen() == before
    SETS.clear()
    assert seen() == before
    expected = [seq for seq in range(1, HEAD + 1) if seq > upto or (every and seq % every == 0)]
    assert numbers() == expected
    for name in "mt":
        assert verify(registry.find(name))["after"] == upto


@pytest.mark.parametrize("every", [None, 10])
def test_the_log_goes_on_and_a_point_that_is_gone_is_still_known(stream, every):
    retain(250, every)
    receipt = learn_points.learn(stream.pk, [point(17), point(1000), point(HEAD - 1)])
    assert (list(receipt.seqs), receipt.duplicates) == ([18, HEAD + 1, HEAD], 2)
    SETS.clear()
    after = seen()
    maintenance.write_due_snapshots(all_changed=True)
    SETS.clear()
    assert seen() == after


def test_what_can_be_had_no_more_is_refused_with_the_reason(stream):
    retain(250)
    told = r"observations 1 to 250 of stream s are no longer all kept: "
    with pytest.raises(Gone, match=told + "model m is available from observation 250 on, not as of 249"):
        inspection.metrics("m", at=249)
    assert inspection.metrics("m", at=250)["at"] == 250
    with pytest.raises(Gone, match=told + "models can't be rebuilt without 250"):
        streams.retract(stream, 250, "wrong")
    assert not streams.retract(stream, 5, "wrong"), "what was retracted before stays so"
    with pytest.raises(Conflict, match="can't learn its history: create it with backfill false"):
        registry.create("late", "s", "regression", linear_model.LinearRegression())
    registry.create("late", "s", "regression", linear_model.LinearRegression(), backfill=False)
    assert verify(registry.find("late"))["after"] == 0


def test_a_later_retraction_rebuilds_from_what_is_kept_for_ever(stream):
    retain(250)
    streams.retract(stream, 251, "wrong")
    maintenance.rebuild_after_retractions()
    assert [inspection.metrics(name)["learned"] for name in "mt"] == [HEAD - 2, HEAD - 2]
    for name in "mt":
        found = Model.objects.get(name=name)
        assert Snapshot.objects.filter(model=found, generation=found.generation, seq=250).exists()
        verify(registry.find(name))


def test_the_snapshot_that_stands_for_the_log_outlives_all_others(stream, monkeypatch):
    retain(100)
    monkeypatch.setattr("server.learning.fold.snapshots.KEPT", 4)
    for n in range(12):
        learn_points.learn(stream.pk, [point(2000 + n)])
        maintenance.write_due_snapshots(all_changed=True)
    kept = Snapshot.objects.filter(model__name="m").order_by("seq").values_list("seq", flat=True)
    assert kept[0] == 100
    assert len(kept) == 5


def test_a_process_that_was_behind_goes_on_from_the_snapshot(stream):
    predict_points.predict("m", PROBES[:1])
    behind = SETS.of(stream.pk)
    SETS.clear()
    learn_points.learn(stream.pk, [point(3000 + n) for n in range(50)])
    retain(HEAD + 40)
    expected = seen()
    with behind.lock:
        found = streams.find("s")
        behind.epoch = found.epoch  # it read the head just before the log was shortened
        behind.catch_up(found.head, found.epoch)
        assert behind.replicas[Model.objects.get(name="m").pk].predict(PROBES[0]) == expected["m"][0][0]


@pytest.mark.parametrize("every", [None, 7])
def test_a_replay_over_what_is_gone_is_refused_wherever_it_begins(stream, every):
    from server.learning.fold import replay

    retain(250, every)
    for begin in (0, 8, 100, 249):
        with pytest.raises(Gone):
            list(replay.complete_spans(stream.pk, begin, HEAD))
    assert sum(len(span.xs) for span in replay.complete_spans(stream.pk, 250, HEAD)) == HEAD - 250


def test_a_model_whose_snapshot_cant_be_read_says_so_and_the_others_learn_on(stream):
    retain(250)
    maintenance.write_due_snapshots(all_changed=True)
    Snapshot.objects.filter(model__name="m").update(state=b"of another version")
    SETS.clear()
    receipt = learn_points.learn(stream.pk, [point(5000)])
    assert list(receipt.predictions) == ["t"]
    with pytest.raises(Gone, match="model m needs its snapshot at 250, which can't be read"):
        predict_points.predict("m", PROBES[:1])


def test_it_is_refused_while_a_model_still_needs_the_log(stream):
    registry.create("late", "s", "regression", linear_model.LinearRegression())
    with pytest.raises(Conflict, match="model late is still learning the history of stream s"):
        retention.plan(stream, 100, None)
    maintenance.work_on_backfills()
    streams.retract(stream, 9, "wrong")
    with pytest.raises(Conflict, match="is still learning"):
        retention.plan(stream, 100, None)
    assert numbers()[0] == 1


@pytest.mark.parametrize("upto", [-1, 0, HEAD, HEAD + 1])
def test_the_last_observation_always_stays(stream, upto):
    with pytest.raises(Invalid, match=f"expected a number from 1 to {HEAD - 1}"):
        retention.plan(stream, upto, None)


def test_what_was_ended_in_between_is_made_good_by_the_same_again(stream, monkeypatch):
    def ends(*args):
        raise KeyboardInterrupt

    before = seen()
    with monkeypatch.context() as patched:
        patched.setattr("server.streams.retention.shorten", ends)
        with pytest.raises(KeyboardInterrupt):
            retain(250)
    assert numbers()[0] == 1
    with pytest.raises(Gone):
        inspection.metrics("m", at=10)
    assert retain(250) > 0
    assert numbers()[0] == 251
    assert seen() == before


def test_what_was_thinned_out_can_be_dropped_and_it_goes_further_each_time(stream):
    before = seen()
    for upto, every in ((100, 10), (50, None), (300, 50), (HEAD - 1, None)):
        retain(upto, every)
        SETS.clear()
        assert seen() == before
    assert numbers() == [HEAD]
    assert Batch.objects.count() == 1
    assert [entry.action for entry in AuditEntry.objects.order_by("-number")[:4]] == ["stream.retain"] * 4


def test_the_command_says_what_it_means_and_does_it_when_told_to(stream, capsys):
    call_command("retain", "s", "--keep-last", "100", "--drop")
    assert "Nothing was changed" in capsys.readouterr().out
    assert numbers()[0] == 1
    call_command("retain", "s", "--keep-last", "100", "--drop", "--yes")
    assert f"observations 1 to {HEAD - 100} of {HEAD} are dropped" in capsys.readouterr().out
    assert numbers()[0] == HEAD - 99
    with pytest.raises(CommandError, match="no stream named 'none'"):
        call_command("retain", "none", "--before", "5", "--thin", "2")


def test_readers_of_the_api_hear_what_is_gone(stream, client):
    retain(200, 10)
    page = client.get("/api/v1/streams/s/observations/?limit=10000").json()
    assert [one["seq"] for one in page["observations"]] == [*range(10, 201, 10), *range(201, HEAD + 1)]
    retain(100)
    answer = client.get("/api/v1/streams/s/observations/")
    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "not_kept"
    assert "after=100" in answer.json()["error"]["message"]
    table = client.get("/api/v1/streams/s/observations/?after=100&format=csv").getvalue().decode().splitlines()
    assert table[0].endswith("x.x,x.y")
    assert [line.partition(",")[0] for line in table[1:12]] == [str(n) for n in (*range(110, 201, 10), 201)]
    assert client.get("/api/v1/streams/s/").json()["retention"] == {"dropped": 100, "whole_after": 200}
    assert client.get("/api/v1/models/m/metrics/?at=150").status_code == 410


def test_large_rows_are_changed_few_at_a_time(stream, monkeypatch):
    """Others write between two transactions, each of which is limited by bytes, too."""
    monkeypatch.setattr(batched_deletion, "MAX_BYTES", 1)
    reached = []
    retention.carry_out(retention.plan(streams.find("s"), 250, 10), reached.append)
    assert reached == [1, 8, 128, 250]
    monkeypatch.setattr(batched_deletion, "MAX_BYTES", 2**20)
    reached.clear()
    retention.carry_out(retention.plan(streams.find("s"), HEAD - 1, 100), reached.append)
    assert reached == [HEAD - 1]
    assert numbers() == [100, 200, 300, 400, 500]


def test_snapshots_of_a_state_that_is_replaced_go_in_turns_after_it(stream, monkeypatch):
    """A retraction makes new ones. Others write in between."""
    models = list(Model.objects.order_by("pk"))
    for model in models:
        Snapshot.objects.bulk_create(
            Snapshot(model=model, generation=model.generation, seq=seq, state=b"x" * 100)
            for seq in range(10_000, 10_004)
        )
    generations = []

    def others_write(seconds: float) -> None:
        if seconds == batched_deletion.PAUSE:
            generations.append((connection.in_atomic_block, Model.objects.get(pk=models[0].pk).generation))

    monkeypatch.setattr(batched_deletion, "MAX_BYTES", 1)
    monkeypatch.setattr(batched_deletion.time, "sleep", others_write)
    streams.retract(stream, 9, "wrong")
    maintenance.rebuild_after_retractions()
    assert len(generations) >= 2 * 3
    assert set(generations) == {(False, models[0].generation + 1)}
    for model in Model.objects.all():
        assert set(Snapshot.objects.filter(model=model).values_list("generation", flat=True)) == {model.generation}
