"""What runs log: stored once, exactly, in whatever order it arrives."""

import math
import random
from uuid import uuid4

import pytest

from server.core.errors import Conflict, Invalid, NotFound
from server.tracking import checks, experiments, links, runs, values, writing
from server.tracking.models import LatestMetric, Metric, Param, RunLink, RunTag
from server.tracking.statements import Point

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def run():
    return runs.create(experiments.get_or_create("darcy"))


def point(key, step, time_ms, value):
    return checks.point(key, step, time_ms, value, "metrics[0]")


def stored(run):
    rows = Metric.objects.filter(series__run=run).order_by("series__key", "step", "time_ms", "value")
    return [
        (key, step, time_ms, values.as_float(value, special))
        for key, step, time_ms, value, special in rows.values_list("series__key", "step", "time_ms", "value", "special")
    ]


def test_points_in_any_order_and_repeated_are_stored_once_and_the_latest_is_known(run):
    points = [point(f"loss/{n % 3} ü≤", n // 3, 1_000 + n, n / 7) for n in range(600)]
    shuffled = random.Random(1).sample(points * 2, 1200)
    for first in range(0, 1200, 100):
        writing.log(run.uid, metrics=shuffled[first : first + 100])
    assert Metric.objects.filter(series__run=run).count() == 600
    latest = {row.key: (row.step, row.time_ms, row.value) for row in LatestMetric.objects.filter(run=run)}
    assert latest == {f"loss/{k} ü≤": (199, 1_000 + 597 + k, (597 + k) / 7) for k in range(3)}


def test_values_that_are_not_finite_are_exact(run):
    given = [math.nan, math.inf, -math.inf, 0.1, -1.7976931348623157e308, 5e-324, "NaN", "Infinity", "-Infinity", 3]
    writing.log(run.uid, metrics=[point("x", step, 5, value) for step, value in enumerate(given)])
    found = [value for _, _, _, value in stored(run)]
    assert list(map(repr, found)) == list(map(repr, [float(value) for value in given]))


def test_the_latest_point_is_that_of_the_highest_step_then_time_then_value(run):
    writing.log(run.uid, metrics=[point("x", 2, 9, 1.0), point("x", 2, 9, 3.0), point("x", 1, 99, 7.0)])
    writing.log(run.uid, metrics=[point("x", 2, 8, 5.0)])
    assert LatestMetric.objects.get(run=run).value == 3.0


def test_a_param_keeps_its_value_and_a_tag_does_not(run):
    writing.log(run.uid, params={"lr": "0.1"}, tags={"who": "a"})
    writing.log(run.uid, params={"lr": "0.1", "width": "64"}, tags={"who": "b"})
    with pytest.raises(Conflict, match=r"param 'lr' of run .* is '0.1' already"):
        writing.log(run.uid, params={"depth": "4", "lr": "0.2"}, metrics=[Point("x", 1, 1, 1.0)])
    assert dict(Param.objects.filter(run=run).values_list("key", "value")) == {"lr": "0.1", "width": "64"}
    assert dict(RunTag.objects.filter(run=run).values_list("key", "value")) == {"who": "b"}
    assert not Metric.objects.filter(series__run=run).exists()


def test_a_run_is_found_again_by_its_identifier_and_its_experiment(run):
    uid = uuid4().hex
    made, is_new = runs.put(uid, "darcy", name="a", params={"lr": "1"})
    again, is_new_again = runs.put(uid, "darcy", name="b")
    assert (is_new, is_new_again, again.pk, again.name) == (True, False, made.pk, "a")
    with pytest.raises(Conflict, match="belongs to experiment 'darcy', not to 'other'"):
        runs.put(uid, "other")
    with pytest.raises(Invalid, match="uid is"):
        runs.put("x" * 32, "darcy")
    with pytest.raises(NotFound):
        runs.find(None)


def test_a_deleted_run_takes_nothing_until_it_is_restored(run):
    runs.delete(run.uid)
    with pytest.raises(Conflict, match="is deleted"):
        writing.log(run.uid, tags={"a": "b"})
    runs.restore(run.uid)
    writing.log(run.uid, tags={"a": "b"})
    experiment = experiments.by_name("darcy")
    experiments.delete(experiment)
    with pytest.raises(Conflict, match="experiment 'darcy' is deleted"):
        runs.put(uuid4().hex, "darcy")
    with pytest.raises(Conflict, match="is deleted"):
        runs.restore(run.uid)
    experiments.restore(experiment)
    assert runs.find(run.uid).lifecycle == "active"


def test_the_default_experiment_has_number_0():
    other = experiments.create("other")
    with pytest.raises(Conflict, match="experiment Default exists already"):
        experiments.change(other, {"name": "Default"})
    assert experiments.by_number("0").name == "Default"
    assert experiments.by_name("Default").pk == 0


def test_links_are_stored_once(run):
    for _ in range(2):
        links.link(run.uid, "model", "runtime", 120)
        links.link(run.uid, "stream", "darcy")
    assert sorted(RunLink.objects.values_list("kind", "name", "at")) == [
        ("model", "runtime", 120),
        ("stream", "darcy", None),
    ]
