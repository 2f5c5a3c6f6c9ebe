"""A failing model fails alone; bad input changes nothing."""

import pytest
from river import compose, linear_model, preprocessing

from server.core.errors import Invalid
from server.learning import inspection, registry
from server.learning.background import maintenance
from server.learning.fold.replica_set import SETS
from server.learning.predictions import predict_points
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import log
from server.streams import registry as streams
from server.streams.models import Batch, Key, Stream
from server.streams.points import Note, Point

pytestmark = pytest.mark.django_db(transaction=True)


def linear():
    return preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)


def only_a():
    return compose.Select("a") | linear_model.LinearRegression()


def everything():
    """All that a request could have changed."""
    SETS.clear()
    return (
        list(Stream.objects.values()),
        list(Batch.objects.values()),
        list(Key.objects.values()),
        [inspection.state(name) for name in ("picky", "other") if registry.Model.objects.filter(name=name).exists()],
    )


@pytest.fixture
def two_models():
    streams.create("s", target_kind="number")
    registry.create("picky", "s", "regression", linear())
    return registry.create("other", "s", "regression", only_a()).stream_id


GOOD = [Point({"a": 1.0, "b": 2.0}, 3.0), Point({"a": 2.0, "b": 1.0}, 4.0)]
STRING = Point({"a": 1.5, "b": "text"}, 3.5)


def test_it_skips_the_point_and_says_so_while_the_others_learn(two_models):
    learn_points.learn(two_models, GOOD)
    before = inspection.state("picky")
    receipt = learn_points.learn(two_models, [STRING])
    assert receipt.seqs[0] == 3
    assert "TypeError" in receipt.errors["picky"][0]
    assert "other" not in receipt.errors
    picky, other = inspection.state("picky"), inspection.state("other")
    assert (picky["learned"], picky["skipped"], picky["last_skip"]["seq"]) == (2, 1, 3)
    assert picky["metrics"] == before["metrics"]
    assert other["learned"] == 3
    assert sum(len(span.xs) for span in log.spans(two_models, 0)) == 3


def test_a_point_on_which_learning_breaks_half_way_leaves_no_trace_in_the_model(two_models):
    """The scaler learns before the regression raises: the state must be that of a model which never saw the point."""
    for part in (GOOD, [STRING, *GOOD, STRING], GOOD):
        learn_points.learn(two_models, part)
    probe = {"a": 1.2, "b": 0.7}
    served = predict_points.predict("picky", [probe]).predictions
    unspoiled = linear()
    for point in GOOD * 3:
        unspoiled.learn_one(point.x, point.y)
    assert served == [unspoiled.predict_one(probe)]
    SETS.clear()
    assert predict_points.predict("picky", [probe]).predictions == served
    verify(registry.Model.objects.get(name="picky"))


class Explosive(linear_model.LinearRegression):
    """Fails in learning, after it has changed."""

    def learn_one(self, x, y, w=1.0):
        super().learn_one(x, y, w)
        if x["a"] < 0:
            raise ValueError("negative a")


@pytest.fixture
def explosive(monkeypatch, settings):
    monkeypatch.setitem(globals(), "Explosive", Explosive)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"trusted_modules": __name__})
    streams.create("s", target_kind="number")
    model = registry.create("picky", "s", "custom", Explosive())
    registry.create("other", "s", "regression", only_a())
    return model.stream_id


def test_learning_that_fails_after_the_model_changed_is_undone(explosive):
    points = [Point({"a": float(a)}, 2.0 * a) for a in (1, 2, -3, 4, -5, -6, 7)]
    learn_points.learn(explosive, points[:2])
    receipt = learn_points.learn(explosive, points[2:])
    assert set(receipt.errors["picky"]) == {0, 2, 3}
    clean = linear_model.LinearRegression()
    for point in points:
        if point.x["a"] > 0:
            clean.learn_one(point.x, point.y)
    expected = [clean.predict_one({"a": 10.0})]
    assert predict_points.predict("picky", [{"a": 10.0}]).predictions == expected
    SETS.clear()
    assert predict_points.predict("picky", [{"a": 10.0}]).predictions == expected
    registry.create("late", "s", "custom", Explosive())
    maintenance.work_on_backfills()
    assert predict_points.predict("late", [{"a": 10.0}]).predictions == expected
    assert verify(registry.Model.objects.get(name="picky"))["predictions"] == len(points)


def test_only_when_every_model_refuses_a_point_is_it_refused_and_nothing_stored(explosive):
    registry.delete("other")
    learn_points.learn(explosive, [Point({"a": 1.0}, 2.0)])
    before = everything()
    for points in (
        [Point({"a": -1.0}, 2.0)],
        [Point({"a": 1.0}, 2.0), Point({"a": -1.0}, 2.0, Note(key="k"))],
        [Point({"a": 5.0}, 2.0), Point({"b": 1.0}, 2.0)],
    ):
        with pytest.raises(Invalid, match="every model on the stream refuses") as caught:
            learn_points.learn(explosive, points)
        assert caught.value.code == "refused"
        assert "picky" in caught.value.message
        live = predict_points.predict("picky", [{"a": 3.0}]).predictions
        assert everything() == before
        assert predict_points.predict("picky", [{"a": 3.0}]).predictions == live


def test_a_stream_without_models_keeps_its_points():
    stream = streams.create("s", target_kind="number")
    assert learn_points.learn(stream.pk, GOOD).seqs[-1] == 2
    registry.create("late", "s", "regression", linear())
    maintenance.work_on_backfills()
    assert inspection.state("late")["learned"] == 2


def test_a_metric_overflow_is_no_failure(two_models):
    learn_points.learn(two_models, [Point({"a": 1.0, "b": 1.0}, 1e308), Point({"a": 1.0, "b": 1.0}, -1e308), *GOOD])
    assert inspection.state("picky")["at"] == 4
