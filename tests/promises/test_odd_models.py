"""Models that misbehave in ways of their own: what they can't do concerns them alone, and a replay agrees."""

import contextlib
import random

import pytest
from river import base, compose, facto, feature_extraction, linear_model, neighbors

from server.core.errors import Invalid
from server.learning import inspection, registry
from server.learning.background import maintenance
from server.learning.fold.replica_set import SETS
from server.learning.predictions import predict_points
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.points import Note, Point

pytestmark = pytest.mark.django_db(transaction=True)


class PanicException(BaseException):
    """What river's Rust code raises when it panics: not an Exception."""


class Odd(base.Regressor):
    """Counts what it learns, and misbehaves where ``x["do"]`` says so."""

    def __init__(self):
        self.learned = 0

    def learn_one(self, x, y):
        self.learned += 1
        if x["do"] == "panic in learn":
            raise PanicException("called `Result::unwrap()` on an `Err` value")
        if x["do"] == "keep a function":
            self.kept = lambda: None

    def predict_one(self, x):
        if x["do"] == "panic in predict":
            raise PanicException("index out of bounds")
        said = {"say an object": object(), "say too much": 2**80, "say tuples": {(1, 2): 0.5}}
        return said.get(x["do"], self.learned)


@pytest.fixture
def odd(monkeypatch, settings):
    monkeypatch.setitem(globals(), "Odd", Odd)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"trusted_modules": __name__})
    streams.create("s", target_kind="number")
    model = registry.create("odd", "s", "custom", Odd())
    registry.create("other", "s", "regression", only_a())
    return model.stream_id


def only_a():
    return compose.Select("a") | linear_model.LinearRegression()


def point(do="learn"):
    return Point({"a": 1.0, "do": do}, 2.0)


ODDITIES = ["panic in learn", "panic in predict", "say an object", "say too much", "say tuples"]


@pytest.mark.parametrize("oddity", ODDITIES)
def test_it_passes_over_the_point_and_the_others_learn_it(odd, oddity):
    learn_points.learn(odd, [point()] * 3)
    receipt = learn_points.learn(odd, [point(), point(oddity), point()])
    assert set(receipt.errors) == {"odd"}
    assert set(receipt.errors["odd"]) == {1}
    state = inspection.state("odd")
    assert (state["learned"], state["skipped"]) == (5, 1)
    assert inspection.state("other")["learned"] == 6
    SETS.clear()
    assert inspection.state("odd")["learned"] == 5
    verify(registry.Model.objects.get(name="odd"))
    registry.create("late", "s", "custom", Odd())
    maintenance.work_on_backfills()
    assert inspection.state("late")["learned"] == 5


@pytest.mark.parametrize("oddity", [o for o in ODDITIES if o != "panic in learn"])
def test_asking_it_is_refused_with_its_reason(odd, oddity):
    with pytest.raises(Invalid, match="model odd can't predict x"):
        predict_points.predict("odd", [point(oddity).x])
    assert predict_points.predict("odd", [point().x]).predictions == [0]


def test_a_label_that_it_learns_but_that_is_no_number_to_score_is_passed_over():
    streams.create("s")
    model = registry.create("near", "s", "regression", neighbors.KNNRegressor(n_neighbors=2))
    registry.create("any", "s", "custom", neighbors.KNNClassifier())
    learn_points.learn(model.stream_id, [Point({"a": float(n)}, float(n)) for n in range(5)])
    receipt = learn_points.learn(model.stream_id, [Point({"a": 1.0}, "fast"), Point({"a": 1.0}, 1.0)])
    assert set(receipt.errors) == {"near"}
    assert set(receipt.errors["near"]) == {0}
    live = inspection.metrics("near")
    assert live["learned"] == 6
    SETS.clear()
    assert inspection.metrics("near") == live
    verify(registry.Model.objects.get(name="near"))


@pytest.mark.parametrize("given", ["fast", {"true": 0.5}])
def test_a_given_prediction_that_is_no_number_is_refused_by_a_regression(given):
    model = registry.create("m", None, "regression", linear_model.LinearRegression())
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 1.0)])
    before = inspection.metrics("m")
    with pytest.raises(Invalid, match="expected a number") as caught:
        learn_points.learn(model.stream_id, [Point({"a": 2.0}, 2.0, Note(given={model.pk: given}))])
    assert caught.value.field == "prediction"
    assert inspection.metrics("m") == before


def test_metrics_by_segment_are_the_same_however_points_are_grouped(settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_segments": 3})
    found = []
    for name, size in (("single", 1), ("grouped", 5)):
        streams.create(name, target_kind="number", segment="kind")
        model = registry.create(name, name, "regression", only_a())
        made = [Point({"a": float(n), "kind": kind}, float(n)) for n, kind in enumerate("xxaaxxaxabcdcdb")]
        for low in range(0, len(made), size):
            learn_points.learn(model.stream_id, made[low : low + size])
        found.append(inspection.metrics(name)["segments"])
    assert set(found[0]) == {"x", "a", "b", "(other)"}
    assert found[0] == found[1]


def test_a_model_that_cannot_be_stored_does_not_keep_others_from_their_snapshots(odd):
    learn_points.learn(odd, [point("keep a function")])
    assert maintenance.write_due_snapshots(all_changed=True) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: feature_extraction.RBFSampler(seed=1) | linear_model.LinearRegression(),
        lambda: facto.FMRegressor(seed=1),
        lambda: neighbors.KNNRegressor(n_neighbors=2, engine=neighbors.SWINN(graph_k=5, warm_up=10, seed=1)),
    ],
    ids=["random features", "factorization machine", "random neighbour graph"],
)
def test_asking_does_not_move_a_random_state_that_prediction_draws_from(make):
    model = registry.create("m", None, "regression", make())
    rng = random.Random(1)
    for _ in range(40):
        asked = {"b": rng.random(), "a": rng.random()}
        first = predict_points.predict("m", [asked]).predictions
        with contextlib.suppress(Invalid):
            predict_points.predict("m", [{"unheard of": 1.0}])
        assert predict_points.predict("m", [asked]).predictions == first
        learn_points.learn(model.stream_id, [Point({"a": rng.random(), "b": rng.random()}, rng.random())])
    verify(registry.Model.objects.get(name="m"))
