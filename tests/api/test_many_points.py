"""Many points in one predict, where the estimator predicts them at once."""

import numpy as np
import pytest
from tailrace.estimators import RuntimeRegressor

from server.learning.fold import flavors
from server.learning.fold.replica import Replica
from server.learning.fold.replica_set import SETS
from tests.api_client import refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def runtime(api):
    api.stream("runs", target={"name": "runtime", "unit": "s"})
    model = api.post("/api/v1/models/", {"name": "m", "stream": "runs", "recipe": "runtime"})
    assert model.status_code == 201
    points = [{"x": {"x": n, "y": 2, "processes": 1 + n % 4}, "y": 3.0 + n} for n in range(1, 40)]
    api.ok("/api/v1/streams/runs/observations/", {"observations": points})
    return api


def test_they_are_predicted_as_each_alone(runtime, monkeypatch):
    monkeypatch.setattr("server.learning.predictions.predict_points.MAX_POINTS_AT_ONCE", 3)
    xs = [{"x": n, "y": 2, "processes": 2} for n in range(10)]
    many = runtime.ok("/api/v1/models/m/predict/", {"xs": xs, "level": 0.9})
    each = [runtime.ok("/api/v1/models/m/predict/", {"x": x, "level": 0.9}) for x in xs]
    assert many["predictions"] == [one["prediction"] for one in each]
    assert many["intervals"] == [one["interval"] for one in each]


def test_the_one_that_is_refused_is_named(runtime, monkeypatch):
    def predict_one(self, x):
        if x.get("bad"):
            raise ArithmeticError("no")
        return 1.0

    def predict_points(self, xs, level=None):
        return [predict_one(self, x) for x in xs], [(0.0, 2.0) for _ in xs]

    monkeypatch.setattr("server.learning.predictions.predict_points.MAX_POINTS_AT_ONCE", 3)
    monkeypatch.setattr(RuntimeRegressor, "predict_one", predict_one)
    monkeypatch.setattr(RuntimeRegressor, "predict_points", predict_points)
    SETS.clear()  # of what has the methods of before at hand
    xs = [{"x": n, "bad": n == 4} for n in range(8)]
    error = refused(runtime.post("/api/v1/models/m/predict/", {"xs": xs}), 400)
    assert error["field"] == "xs[4]" and "ArithmeticError: no" in error["message"]
    xs[4]["bad"] = False
    assert runtime.ok("/api/v1/models/m/predict/", {"xs": xs})["predictions"] == [1.0] * 8


@pytest.mark.parametrize(
    "weights",
    [
        [np.ones((500, 1, 2, 1))] * 3, [np.ones((500, 1))] * 3, [1j, 0.0, 0.0], [np.ones(7)] * 3,
    ],
)  # fmt: skip
def test_what_are_no_numbers_one_a_point_are_asked_for_one_by_one(runtime, weights):
    """As :meth:`Replica.predict` checks them: an upload may hold anything in its state."""
    model = RuntimeRegressor()
    for n in range(1, 30):
        model.learn_one({"x": n, "y": 2}, 3.0 + n)
    model._weights = weights
    odd = Replica(1, "odd", 1, flavors.get("regression"), model, n=0, window=10)
    with pytest.raises((TypeError, ValueError)):
        odd.predict_many([{"x": 2, "y": 2}] * 500, 0.9)
