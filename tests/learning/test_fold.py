"""The fold: what a replica is after n observations, and that nothing else ever comes of the same log."""

import itertools
import random

import pytest
from river import linear_model, metrics, preprocessing, tree

from server.core.errors import Invalid
from server.learning import inspection, registry
from server.learning.background import maintenance
from server.learning.fold.replica_set import SETS
from server.learning.predictions import predict_points
from server.learning.write_path import learn_points
from server.streams import log
from server.streams import registry as streams
from server.streams.models import Batch, Stream
from server.streams.points import BATCH_POINTS, Point

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def linear():
    return preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)


def points(count, seed=1):
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        x = {"x": rng.randint(2, 20), "y": rng.random(), "kind": rng.choice("abc")}
        made.append(Point({k: v for k, v in x.items() if k != "kind"}, 3 * x["x"] + x["y"] + rng.gauss(0, 0.1)))
    return made


def river_replay(estimator, observations, kinds=(metrics.MAE, metrics.RMSE, metrics.SMAPE, metrics.R2)):
    """What plain river makes of the same observations."""
    own = [kind() for kind in kinds]
    for n, (x, y) in enumerate(observations):
        prediction = estimator.predict_one(x)
        if n or prediction:
            for metric in own:
                metric.update(y, prediction)
        estimator.learn_one(x, y)
    return {type(metric).__name__: metric.get() for metric in own}


def learn_in_groups(stream_id, made, sizes):
    made = iter(made)
    for size in itertools.cycle(sizes):
        group = list(itertools.islice(made, size))
        if not group:
            return
        learn_points.learn(stream_id, group)


@pytest.mark.parametrize("sizes", [[1], [7, 1, 500], [1000]])
def test_metrics_equal_an_offline_river_replay_bit_for_bit(sizes):
    model = registry.create("m", None, "regression", linear())
    made = points(1500)
    learn_in_groups(model.stream_id, made, sizes)
    expected = river_replay(linear(), [(p.x, p.y) for p in made])
    found = inspection.metrics("m")["metrics"]
    assert {name: found[name] for name in expected} == expected


def test_it_does_not_score_what_an_untrained_model_says_but_scores_a_later_zero():
    model = registry.create("m", None, "regression", linear_model.LinearRegression(intercept_lr=0))
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 5.0), Point({"b": 1.0}, 7.0)])
    assert inspection.metrics("m")["n"] == 1
    assert inspection.metrics("m")["metrics"]["MAE"] == 7.0


def test_a_new_process_comes_to_the_same_state_from_snapshot_and_log():
    model = registry.create("m", None, "regression", tree.HoeffdingAdaptiveTreeRegressor(grace_period=50, seed=3))
    learn_points.learn(model.stream_id, points(700))
    maintenance.write_due_snapshots(all_changed=True)
    learn_points.learn(model.stream_id, points(700, seed=2))
    probe = points(50, seed=9)
    before = (
        [predict_points.predict("m", [p.x]).predictions for p in probe],
        inspection.metrics("m"),
        inspection.history("m"),
    )
    SETS.clear()
    after = (
        [predict_points.predict("m", [p.x]).predictions for p in probe],
        inspection.metrics("m"),
        inspection.history("m"),
    )
    assert after == before


def test_the_state_as_of_n_is_the_state_that_was():
    model = registry.create("m", None, "regression", linear())
    made = points(300)
    learn_points.learn(model.stream_id, made[:120])
    then = inspection.metrics("m")
    learn_points.learn(model.stream_id, made[120:])
    assert inspection.metrics("m", at=120) == then
    with pytest.raises(Invalid, match="from 0 to 300"):
        inspection.metrics("m", at=301)


def test_a_backfilled_model_equals_one_that_was_there_from_the_start():
    model = registry.create("old", None, "regression", linear())
    learn_points.learn(model.stream_id, points(2500))
    registry.create("new", "old", "regression", linear())
    with pytest.raises(predict_points.Conflict, match="still learning"):
        predict_points.predict("new", [{"x": 1}])
    learn_points.learn(model.stream_id, points(3, seed=5))
    maintenance.work_on_backfills()
    old, new = inspection.metrics("old"), inspection.metrics("new")
    assert new["metrics"] == old["metrics"]
    assert new["at"] == 2503
    assert inspection.history("new")["points"] == inspection.history("old")["points"]


def test_a_model_added_without_backfill_starts_at_the_head():
    model = registry.create("old", None, "regression", linear())
    learn_points.learn(model.stream_id, points(10))
    registry.create("new", "old", "regression", linear(), backfill=False)
    learn_points.learn(model.stream_id, points(5))
    assert inspection.metrics("new")["learned"] == 5


def test_a_retracted_point_stays_in_the_log_and_leaves_every_model():
    made = points(200)
    made[150] = Point(made[150].x, 1e9)
    model = registry.create("a", None, "regression", linear())
    registry.create("b", "a", "regression", linear_model.BayesianLinearRegression())
    for part in (made[:180], made[180:]):
        learn_points.learn(model.stream_id, part)
    assert streams.retract(Stream.objects.get(name="a"), 151, "unit error")
    assert not streams.retract(Stream.objects.get(name="a"), 151, "again")
    maintenance.rebuild_after_retractions()
    kept = [(p.x, p.y) for n, p in enumerate(made) if n != 150]
    assert inspection.metrics("a")["metrics"]["MAE"] == river_replay(linear(), kept)["MAE"]
    found = inspection.metrics("b")
    assert found["metrics"]["MAE"] == river_replay(linear_model.BayesianLinearRegression(), kept)["MAE"]
    assert sum(len(span.xs) for span in log.spans(model.stream_id, 0)) == 200
    SETS.clear()
    assert inspection.metrics("b") == found


def test_a_retraction_during_serving_changes_all_models_at_once():
    model = registry.create("a", None, "regression", linear())
    learn_points.learn(model.stream_id, points(50))
    generation = inspection.state("a")["generation"]
    streams.retract(Stream.objects.get(name="a"), 1, "wrong")
    assert inspection.metrics("a")["learned"] == 50  # served as before until the new fold is ready
    maintenance.rebuild_after_retractions()
    assert inspection.state("a")["generation"] == generation + 1
    assert inspection.metrics("a")["learned"] == 49


def test_segments_have_metrics_of_their_own():
    streams.create("s", target_kind="number", segment="bond")
    model = registry.create("m", "s", "regression", linear_model.LinearRegression())
    made = [Point({"bond": b, "d": float(n)}, float(n)) for n, b in enumerate(["Zr-Cu", "Cu-Cu"] * 10)]
    with pytest.raises(Invalid):
        learn_points.learn(model.stream_id, made)  # a string is not a number for this model
    from river import compose

    registry.create("n", "s", "regression", compose.Select("d") | linear_model.LinearRegression())
    learn_points.learn(model.stream_id, made)
    found = inspection.metrics("n")
    assert set(found["segments"]) == {"Zr-Cu", "Cu-Cu"}
    assert inspection.metrics("n", segment="Zr-Cu")["n"] + inspection.metrics("n", segment="Cu-Cu")["n"] == found["n"]


def test_numbers_are_gapless_however_points_are_grouped():
    model = registry.create("m", None, "regression", linear())
    learn_in_groups(model.stream_id, points(1100), [1, 600, 3])
    seen = [span.first + n for span in log.spans(model.stream_id, 0) for n in range(len(span.xs))]
    assert seen == list(range(1, 1101))
    assert all(batch.count <= BATCH_POINTS for batch in Batch.objects.all())
    part = list(log.spans(model.stream_id, 100, 605))
    assert part[0].first == 101
    assert part[-1].last == 605


def test_history_stays_small_and_the_same_however_points_are_grouped():
    curves = []
    for name, sizes in (("a", [1]), ("b", [400])):
        model = registry.create(name, None, "regression", linear())
        learn_in_groups(model.stream_id, points(1300), sizes)
        curves.append(inspection.history(name)["points"])
    assert curves[0] == curves[1]
    assert 200 < len(curves[0]) <= 513
