"""What records tell: calibration, comparison, the ledger of run times, and where a rise of the error lies."""

import random

import numpy as np
import pytest

from server.core.errors import Invalid
from server.learning import inspection, registry
from server.learning.background import record_writer
from server.learning.models import Model
from server.learning.recipes import catalog
from server.learning.records import calibration, comparison, drift, ledger
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.points import Note, Point

pytestmark = [pytest.mark.one_database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _nothing_known():
    record_writer._known.clear()


def world(*recipes, unit="s", segment="kind"):
    stream = streams.create("s", target_unit=unit, segment=segment)
    for recipe in recipes:
        registry.create(recipe, "s", "regression", catalog.build(recipe)[1], recipe=recipe)
    return stream


def learned(stream, points):
    for low in range(0, len(points), 200):
        learn_points.learn(stream.pk, points[low : low + 200])
    while record_writer.record_due():
        pass
    return [
        Model.objects.select_related("stream").get(pk=pk)
        for pk in Model.objects.order_by("pk").values_list("pk", flat=True)
    ]


def job(rng, kind=1, slow=1.0, **source):
    x = {"size": rng.uniform(1, 10), "kind": kind}
    y = (5 + 3 * x["size"]) * rng.lognormvariate(0, 0.05) * slow
    return Point(x, y, Note(source=source) if source else None)


def test_tables_by_segment_agree_with_the_metrics_of_the_model():
    rng = random.Random(1)
    (model,) = learned(world("runtime"), [job(rng, kind=rng.choice([1, 2])) for _ in range(400)])
    served = inspection.metrics("runtime")["segments"]
    for row in calibration.by_segment(calibration.read(model, None, None)):
        assert row["scored"] == served[row["segment"]]["n"]
        assert row["MAE"] == pytest.approx(served[row["segment"]]["MAE"], rel=1e-9)
        assert row["RMSE"] == pytest.approx(served[row["segment"]]["RMSE"], rel=1e-9)


def test_levels_are_counted_and_a_calibrated_model_holds_them():
    rng = random.Random(2)
    (model,) = learned(world("runtime"), [job(rng) for _ in range(1500)])
    columns = calibration.read(model, None, None)
    found = calibration.levels(columns)
    assert [level["bound"] for level in found] == ["interval", "q50", "q80", "q90", "q95", "q99"]
    y, upper = columns.values["y"], columns.values["q90"]
    known = ~np.isnan(upper)
    assert found[3]["observed"] == pytest.approx((y[known] <= upper[known]).mean())
    for level in found:
        assert level["low"] <= level["observed"] <= level["high"]
        assert abs(level["observed"] - level["nominal"]) < 0.06


def test_a_scatter_keeps_the_largest_errors():
    rng = random.Random(3)
    points = [job(rng) for _ in range(1000)]
    points[700] = Point(points[700].x, 5000.0)
    (model,) = learned(world("linear"), points)
    found = calibration.scatter(calibration.read(model, None, None), most=100)
    assert found["of"] == 999 and len(found["n"]) <= 100
    assert 701 in found["n"]
    assert [y - p for y, p in zip(found["y"], found["prediction"], strict=True)] == pytest.approx(
        [-e for e in found["error"]]
    )


def test_models_are_compared_over_the_same_observations():
    rng = random.Random(4)
    stream = world("linear", "bayesian")
    models = learned(stream, [job(rng, kind=rng.choice([1, 2])) for _ in range(600)])
    registry.create("late", "s", "regression", catalog.build("runtime")[1], backfill=False)
    models = learned(stream, [job(rng) for _ in range(300)])
    found = comparison.compare(models, None, None)
    assert (found["first"], found["last"]) == (601, 900)
    assert found["common"] == 299  # what the late model said first is no prediction
    errors = {}
    for model in models:
        columns = calibration.read(model, 602, 900)
        errors[model.name] = np.abs(columns.errors)
        (row,) = [row for row in found["models"] if row["model"] == model.name]
        assert row["RMSE"] == pytest.approx(np.sqrt((columns.errors**2).mean()))
        assert row["best"] == (row["RMSE"] == min(other["RMSE"] for other in found["models"]))
        assert row["low"] <= row["difference"] <= row["high"]
    assert sum(row["wins"] for row in found["models"]) == pytest.approx(1)
    (late,) = [row for row in found["models"] if row["model"] == "late"]
    assert late["wins"] == pytest.approx(np.mean(errors["late"] <= np.minimum(errors["linear"], errors["bayesian"])))


def test_models_of_different_streams_are_not_compared():
    stream = world("linear")
    other = registry.create("other", None, "regression", catalog.build("linear")[1])
    (model, _) = learned(stream, [job(random.Random(1))])
    other.stream_id = Model.objects.get(name="other").stream_id
    with pytest.raises(Invalid, match="different streams"):
        comparison.compare([model, Model.objects.select_related("stream").get(name="other")], None, None)
    assert comparison.compare([model], None, None)["common"] == 0


def test_a_ledger_counts_node_hours_and_killed_jobs():
    rng = random.Random(5)
    points = []
    for _ in range(500):
        point = job(rng)
        points.append(Point({**point.x, "nodes": 4}, point.y, Note(source={"requested": 120})))
    (model,) = learned(world("runtime"), points)
    columns = calibration.read(model, None, None)
    found = ledger.ledger(model, 0.95, nodes="nodes", request="requested")
    bound, y = columns.values["q95"].astype(float), columns.values["y"]
    known = ~np.isnan(bound)
    assert found["jobs"] == known.sum()
    assert found["killed"] == (y[known] > bound[known]).sum()
    assert found["requested"] == pytest.approx((bound[known] * 4 / 3600).sum())
    assert found["own"]["requested"] == pytest.approx(known.sum() * 120 * 4 / 3600)
    assert found["own"]["killed"] == 0
    assert found["saved"] == pytest.approx(found["own"]["requested"] - found["requested"])
    riskier = ledger.ledger(model, 0.5)
    assert riskier["killed"] > found["killed"] and riskier["requested"] < found["requested"] / 4
    between = ledger.ledger(model, 0.925)
    assert found["killed"] <= between["killed"] <= riskier["killed"]
    with pytest.raises(Invalid, match=r"0\.5 to 0\.99"):
        ledger.ledger(model, 0.995)


def test_a_ledger_needs_times_and_bounds():
    (model,) = learned(world("linear", unit="eV"), [job(random.Random(1)) for _ in range(30)])
    with pytest.raises(Invalid, match="eV: expected a time"):
        ledger.ledger(model, 0.95)


def test_the_culprit_of_a_rise_is_named():
    rng = random.Random(6)
    points = [job(rng, cluster=rng.choice("AB")) for _ in range(600)]
    for _ in range(200):
        cluster = rng.choice("AB")
        points.append(job(rng, slow=3.0 if cluster == "B" else 1.0, cluster=cluster))
    (model,) = learned(world("bayesian"), points)
    found = drift.culprit(model)
    assert 595 <= found["n"] <= 625
    assert found["groups"][0]["what"] == "source cluster"
    assert found["groups"][0]["value"] == "B"
    assert "where source cluster is B" in found["sentence"]
    assert found["ratio"] > 2


def test_a_range_of_a_feature_can_be_the_culprit():
    rng = random.Random(7)
    points = [job(rng) for _ in range(600)]
    for _ in range(300):
        point = job(rng)
        points.append(Point(point.x, point.y * (4 if point.x["size"] > 8.8 else 1)))
    (model,) = learned(world("knn"), points)
    found = drift.culprit(model)
    assert found["groups"][0]["what"] == "size"
    assert float(found["groups"][0]["value"].split()[0]) > 7.5


@pytest.mark.parametrize("seed", range(8))
def test_no_rise_is_found_where_there_is_none(seed):
    rng = np.random.default_rng(seed)
    assert drift.change(np.abs(rng.normal(size=3000))) is None


def test_models_without_a_record_have_no_culprit():
    stream = world("linear")
    (model,) = learned(stream, [])
    assert drift.culprit(model) is None
    (model,) = learned(stream, [job(random.Random(1)), job(random.Random(2))])
    assert drift.culprit(model) is None
