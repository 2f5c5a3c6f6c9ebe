"""`RuntimeRegressor.predict_points`: many jobs at once, with the same bits as one by one."""

import random

import pytest
from tailrace.estimators import RuntimeRegressor

pytestmark = pytest.mark.one_database


def job(draw: random.Random) -> dict[str, object]:
    """A job as people post them, and now and then one that nobody should."""
    found: dict[str, object] = {name: draw.randint(1, 64) for name in "xyz"}
    found |= {"processes": draw.choice([1, 2, 4, 8]), "steps": draw.choice([100, 1e3, 2.5e5])}
    if draw.random() < 0.2:
        del found["steps"]
    if draw.random() < 0.3:
        found["machine"] = draw.choice("ab")
    if draw.random() < 0.3:
        found["gpu"] = draw.random() < 0.5
    if draw.random() < 0.2:
        found["threads"] = draw.choice([1, 2])
    if draw.random() < 0.1:
        found["late"] = draw.random()
    if draw.random() < 0.2:
        found["y"] = draw.choice([None, 1e305, -5, 0, -0.0, float("nan"), float("inf"), "8", True, 2**70])
    return found


@pytest.mark.parametrize("count", [0, 1, 2, 13, 60, 300])
@pytest.mark.parametrize("level", [None, 0.5, 0.95, 0.99999])
def test_many_at_once_are_predicted_bit_for_bit_as_one_by_one(count, level):
    draw = random.Random(count)
    model = RuntimeRegressor()
    for _ in range(count):
        learned = job(draw)
        model.learn_one(learned, 1.0 + 30 * draw.random() * float(learned["x"]))  # type: ignore[arg-type]
    jobs = [job(draw) for _ in range(200)]
    predictions, intervals = model.predict_points(jobs, level)
    assert predictions == [model.predict_one(one) for one in jobs]
    assert intervals == (None if level is None else [model.predict_interval_one(one, level) for one in jobs])


def test_features_whose_names_are_no_texts_are_taken_as_one_by_one():
    model = RuntimeRegressor()
    for n in range(1, 30):
        model.learn_one({1: n, "x": n * n}, 5.0 * n)
    jobs = [{1: 7, "x": 3}, {1: 2.5}, {}]
    assert model.predict_points(jobs)[0] == [model.predict_one(one) for one in jobs]


def test_it_is_asked_for_a_probability():
    with pytest.raises(ValueError, match="between 0 and 1"):
        RuntimeRegressor().predict_points([{"x": 1}], 1.0)
