"""Records: what a model predicted for each observation, in blocks that are derived from the log."""

import math
import random
from datetime import UTC, datetime

import numpy as np
import pytest
from river import cluster, linear_model

from server.core.db import batched_deletion
from server.core.errors import Invalid
from server.learning import deletion, inspection, registry
from server.learning.background import maintenance, record_writer, retention
from server.learning.models import Model, Record, RecordBlock
from server.learning.predictions import predict_points
from server.learning.recipes import catalog
from server.learning.records import columns, reading, storing
from server.learning.verification import Differs, verify
from server.learning.write_path import learn_points
from server.operations import database_metrics
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _nothing_known():
    record_writer._known.clear()
    record_writer._failed.clear()


def points(count, seed=1, segments=(1, 2)):
    rng = random.Random(seed)
    return [
        Point({"x": x, "kind": rng.choice(segments)}, 3.0 * x + rng.random())
        for x in (rng.randint(1, 9) for _ in range(count))
    ]


def made(recipe="linear", **fields):
    stream = streams.create("s", target_unit="s", segment="kind", **fields)
    return stream, registry.create("m", "s", "regression", catalog.build(recipe)[1], recipe=recipe)


def recorded(name="m"):
    model = Model.objects.select_related("stream").get(name=name)
    low, high = reading.chosen(reading.extent(model), None, None)
    return [row for block in reading.blocks(model, low, high) for row in reading.rows(block)]


def learned(stream, some):
    receipts = [learn_points.learn(stream.pk, some[low : low + 300]) for low in range(0, len(some), 300)]
    return [prediction for receipt in receipts for prediction in receipt.predictions["m"]]


def kept(name="m"):
    model = Model.objects.select_related("stream").get(name=name)
    while record_writer.record_due():
        pass
    return recorded(name), model


def same(rows, predictions, some):
    assert [row["n"] for row in rows] == list(range(1, len(some) + 1))
    assert [row["prediction"] for row in rows] == predictions
    assert [row["y"] for row in rows] == [point.y for point in some]


def test_a_live_models_predictions_are_recorded_as_they_were_given():
    stream, _ = made()
    some = points(500)
    predictions = learned(stream, some)
    rows, _ = kept()
    same(rows, predictions, some)
    assert [row["segment"] for row in rows] == [str(point.x["kind"]) for point in some]
    assert [row["scored"] for row in rows[:2]] == [False, True]  # a prediction of 0 by a model that knows nothing
    found = inspection.metrics("m")["metrics"]
    errors = [row["prediction"] - row["y"] for row in rows if row["scored"]]
    assert sum(map(abs, errors)) / len(errors) == pytest.approx(found["MAE"], rel=1e-12)


def test_a_runtime_models_bands_are_those_that_it_gave_before_it_learned():
    stream, _ = made("runtime")
    some = points(60)
    asked = []
    for point in some:
        asked.append(predict_points.predict("m", [point.x], level=0.95))
        learn_points.learn(stream.pk, [point])
    rows, _ = kept()
    assert [row["prediction"] for row in rows] == [answer.predictions[0] for answer in asked]
    for row, answer in zip(rows[1:], asked[1:], strict=True):
        low, high = answer.intervals[0]
        assert (row["lower"], row["upper"]) == (pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5))
        assert row["q50"] <= row["q80"] <= row["q90"] <= row["q95"] <= row["q99"]


def test_a_backfilled_and_a_rebuilt_model_have_the_same_record_as_one_that_was_there():
    stream, _ = made()
    some = points(300)
    predictions = learned(stream, some)
    registry.create("late", "s", "regression", catalog.build("linear")[1], recipe="linear")
    maintenance.work_on_backfills()
    same(kept("late")[0], predictions, some)
    streams.retract(Stream.objects.get(name="s"), 150, "wrong")
    maintenance.rebuild_after_retractions()
    rows, _ = kept("m")
    assert [row["prediction"] for row in rows[:149]] == predictions[:149]
    assert rows[149]["skipped"] and rows[149]["prediction"] is None
    assert [row["prediction"] for row in rows[150:]] != predictions[150:]
    assert rows == kept("late")[0]


def test_it_is_continued_by_another_process_and_across_blocks(monkeypatch):
    monkeypatch.setattr(storing, "BLOCK", 256)
    stream, _ = made()
    some = points(700)
    predictions = learned(stream, some[:300])
    kept()
    record_writer._known.clear()
    monkeypatch.setattr(record_writer, "_holder", "another")
    assert kept()[0][-1]["n"] == 300
    Record.objects.update(holder="the first", leased_until=datetime.now(UTC) + record_writer.LEASE)
    predictions += learned(stream, some[300:])
    assert len(kept()[0]) == 300  # the first still has the lease
    Record.objects.update(leased_until="2020-01-01T00:00Z")
    same(kept()[0], predictions, some)
    assert list(RecordBlock.objects.order_by("number").values_list("first", "count")) == [
        (1, 256),
        (257, 256),
        (513, 188),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("damage", ["lost", "cut", "nonsense", "another version"])
def test_a_lost_or_damaged_part_is_refused_and_made_again(number, damage, monkeypatch):
    monkeypatch.setattr(storing, "BLOCK", 128)
    stream, _ = made()
    some = points(300)
    predictions = learned(stream, some)
    kept()
    block = RecordBlock.objects.get(number=number)
    newer = bytes(block.columns).replace(b'"version":1', b'"version":7')
    content = {"lost": b"", "cut": bytes(block.columns)[:-9], "nonsense": b"{}\nnonsense", "another version": newer}[
        damage
    ]
    own = RecordBlock.objects.filter(pk=block.pk)
    own.delete() if damage == "lost" else own.update(columns=content)
    with pytest.raises(columns.Unreadable, match=r"record of model m can't be read at observations \d+ to \d+.*again"):
        recorded()
    assert Record.objects.get().upto == number * 128
    assert reading.extent(registry.find("m")).behind == 300 - number * 128
    same(kept()[0], predictions, some)


def test_a_damaged_unfinished_block_is_made_again_when_it_is_continued():
    stream, _ = made()
    some = points(200)
    predictions = learned(stream, some[:100])
    kept()
    RecordBlock.objects.update(columns=b"{}\nnonsense")
    record_writer._known.clear()
    predictions += learned(stream, some[100:])
    same(kept()[0], predictions, some)


def test_a_record_is_continued_by_one_process_only(monkeypatch):
    stream, _ = made()
    learned(stream, points(20))
    model = Model.objects.select_related("stream").get()
    record_writer._leased(model)
    monkeypatch.setattr(record_writer, "_holder", "another")
    with pytest.raises(record_writer._Taken):
        record_writer._leased(model)
    assert record_writer.record_due() == 0
    Record.objects.update(upto=7)  # of the first, meanwhile
    part = storing.Part(model.pk, 1, None, next(record_writer.Recorder(model, 0).columns(20)))
    assert storing.store([part], Record.objects.get().holder) == [None]
    assert not RecordBlock.objects.exists()


def test_records_can_be_switched_off(settings):
    stream, _ = made()
    learned(stream, points(20))
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"records": False})
    record_writer._Looked.at = 0.0
    record_writer.keep_records()
    assert not Record.objects.exists()


def test_verification_compares_the_record():
    stream, _ = made("runtime")
    learned(stream, points(80))
    kept()
    learned(stream, points(5, seed=2))
    found = verify(registry.find("m"))
    assert (found["rows"], found["recorded"]) == (80, 80)
    block = RecordBlock.objects.get()
    was = columns.decode(1, block.columns)
    for name, offset in (("prediction", 40), ("q90", 50), ("state", 60), ("lower", 70)):
        values = {own: column.copy() for own, column in was.values.items()}
        values[name][offset] = 2 if name == "state" else np.nextafter(values[name][offset], np.float32(1e9))
        RecordBlock.objects.update(columns=columns.encode(columns.Columns(1, values, was.segments, was.labels)))
        with pytest.raises(
            Differs, match=f"observation {offset + 1}: the record has the {name} .*, the replay .*rebuild_record m"
        ):
            verify(registry.find("m"))


def test_a_deleted_model_or_stream_takes_its_record_with_it_in_turns(monkeypatch):
    monkeypatch.setattr(storing, "BLOCK", 64)
    monkeypatch.setattr(batched_deletion, "MAX_ROWS", 2)
    stream, _ = made()
    registry.create("n", "s", "regression", catalog.build("linear")[1], recipe="linear")
    learned(stream, points(400))
    kept()
    turns = []
    delete_turn = storing._delete_turn
    monkeypatch.setattr(storing, "_delete_turn", lambda numbers: turns.append(len(numbers)) or delete_turn(numbers))
    assert RecordBlock.objects.count() == 14
    whole = deletion.Models()
    assert whole.rows(stream) == 2 * deletion.ROWS_OF_MODEL + 14
    assert whole.bytes(stream, 2**30) > sum(len(row.columns) for row in RecordBlock.objects.all())
    registry.delete("m")
    assert turns == [2, 2, 2, 1]
    assert whole.clear(stream) == 7
    assert not RecordBlock.objects.exists()
    assert record_writer.record_due() == 0  # nobody makes it again meanwhile


def test_the_metrics_say_how_far_records_are_behind(settings):
    stream, _ = made()
    learned(stream, points(300))
    kept()
    learned(stream, points(7))

    def told():
        found = {family.name: family for family in database_metrics.families()}
        return [sample.value for sample in found["tailrace_model_record_behind_observations"].samples]

    assert told() == [7]
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"records": False})
    assert told() == []


@pytest.mark.parametrize("buckets", [1, 7, 100, 2000])
@pytest.mark.parametrize("segment", [None, "1"])
def test_buckets_are_what_their_observations_are(buckets, segment, monkeypatch):
    monkeypatch.setattr(storing, "BLOCK", 1024)
    stream, _ = made("runtime")
    some = points(3000)
    some[1234] = Point(some[1234].x, 5000.0)  # a spike
    learned(stream, some)
    rows, model = kept()
    found = reading.series(model, buckets=buckets, segment=segment)
    ends, counts = found["n"], found["count"]
    of = [row for row in rows if segment in (None, row["segment"])]
    assert sum(counts) == len(of)
    assert len(ends) <= buckets + 1
    assert max(value for value in found["y"]["max"] if value is not None) == max(row["y"] for row in of)
    low = 0
    for index, end in enumerate(ends):
        own = [row for row in of if low < row["n"] <= end]
        low = end
        assert counts[index] == len(own)
        errors = [row["prediction"] - row["y"] for row in own if row["scored"]]
        assert found["error"]["min"][index] == (min(errors) if errors else None)
        assert found["error"]["max"][index] == (max(errors) if errors else None)
        assert found["y"]["last"][index] == own[-1]["y"]
        assert found["y"]["mean"][index] == pytest.approx(sum(row["y"] for row in own) / len(own))
        inside = [
            row["lower"] <= row["y"] <= row["upper"] for row in own if row["scored"] and row.get("lower") is not None
        ]
        if inside:
            assert found["covered"][index] == pytest.approx(sum(inside) / len(inside))
        if errors:
            assert found["RMSE"][index] == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)))


def test_a_classifiers_labels_are_recorded_and_its_errors_are_wrong_labels():
    model = registry.create("m", None, "multiclass", linear_model.SoftmaxRegression())
    rng = random.Random(2)
    some = [Point({"x": x}, "hot" if x > 0.5 else "kält, “so”") for x in (rng.random() for _ in range(80))]
    for low in range(0, 80, 10):
        learn_points.learn(model.stream_id, some[low : low + 10])
    rows, model = kept()
    assert [row["y"] for row in rows] == [point.y for point in some]
    wrong = [row["prediction"] != row["y"] for row in rows if row["scored"]]
    found = reading.series(model, buckets=1)
    assert found["error"]["mean"][0] == pytest.approx(sum(wrong) / len(wrong))
    assert 1 - found["error"]["mean"][0] == pytest.approx(inspection.metrics("m")["metrics"]["Accuracy"])


def test_what_has_no_number_is_recorded_without_one():
    model = registry.create("m", None, "cluster", cluster.KMeans(n_clusters=2, seed=1))
    learn_points.learn(model.stream_id, [Point({"x": float(n)}, None) for n in range(20)])
    rows, model = kept()
    assert len(rows) == 20
    assert reading.series(model, buckets=1)["y"]["max"] == [None]


def test_a_record_begins_where_the_log_is_whole_and_goes_with_it(monkeypatch):
    monkeypatch.setattr(storing, "BLOCK", 128)
    stream, _ = made()
    learned(stream, points(600))
    kept()
    plan = retention.plan(Stream.objects.get(name="s"), 300, None)
    retention.carry_out(plan)
    rows, model = kept()
    assert rows[0]["n"] == 301 and rows[-1]["n"] == 600
    assert RecordBlock.objects.order_by("number").first().number == 2
    storing.forget(model.pk)
    assert [row["n"] for row in kept()[0]] == list(range(301, 601))


def test_an_observation_and_model_takes_at_most_forty_bytes():
    stream, _ = made("runtime")
    rng = random.Random(3)
    learned(stream, [Point({"x": rng.random(), "kind": 1}, rng.random() * 100) for _ in range(storing.BLOCK)])
    kept()
    (block,) = RecordBlock.objects.all()
    assert len(block.columns) + len(block.summary) <= 40 * storing.BLOCK


@pytest.mark.parametrize(
    ("first", "last", "buckets", "field"), [(0, None, 10, "first"), (9, 3, 10, "first"), (None, -1, 10, "last"), (None, None, 0, "buckets")]
)  # fmt: skip
def test_a_range_that_is_none_is_refused(first, last, buckets, field):
    _, model = made()
    with pytest.raises(Invalid) as refusal:
        reading.series(model, first, last, buckets)
    assert refusal.value.field == field
    assert reading.series(model)["n"] == []
