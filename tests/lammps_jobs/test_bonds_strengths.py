"""Asking estimators of every kind for many bonds."""

import numpy as np
import pytest
from river import dummy, linear_model, stats, tree
from tailrace.estimators import ByBondType

from lammps_jobs.bonds.learning.cell_observations import features
from lammps_jobs.bonds.learning.estimator_strengths import BATCH, strengths

pytestmark = pytest.mark.one_database


def test_any_regressor_of_rivers_can_be_asked_bond_by_bond():
    types = np.array(["Zr-Cu", "Al-Al"])
    distance, soap = np.array([2.5, 3.0]), np.zeros((2, 2))
    mean = dummy.StatisticRegressor(stats.Mean())
    mean.learn_one({}, 0.25)
    answer, deviation = strengths(mean, types, distance, soap)
    assert answer.tolist() == [0.25, 0.25] and np.isnan(deviation).all()
    bayesian = linear_model.BayesianLinearRegression()
    for length in (2.0, 2.5, 3.0):
        bayesian.learn_one({"distance": length}, 2 * length)
    answer, deviation = strengths(_Numbers(bayesian), types, distance, soap)
    assert answer[1] > answer[0] > 0 and (deviation > 0).all()


def test_ours_of_gaussian_processes_is_asked_by_columns_and_of_trees_bond_by_bond():
    random = np.random.default_rng(0)
    types = np.array(["Zr-Cu", "Zr-Zr", "Al-Al"])[random.integers(0, 3, 300)]
    distance, soap = random.uniform(2.2, 4.0, 300), random.uniform(0, 1, (300, 4))
    learned = types != "Al-Al"
    gaussian, trees = ByBondType(), ByBondType(tree.HoeffdingAdaptiveTreeRegressor(seed=1))
    for x, y in zip(features(types[learned], distance[learned], soap[learned]), distance[learned], strict=True):
        gaussian.learn_one(x, y)
        trees.learn_one(x, y)
    for model, has_deviation in ((gaussian, True), (trees, False)):
        answer, deviation = strengths(model, types, distance, soap)
        each_one = [model.predict_one(x) for x in features(types, distance, soap)]
        assert np.allclose(answer[learned], np.array(each_one)[learned])
        assert np.isnan(answer[~learned]).all()
        assert (deviation[learned] > 0).all() == has_deviation and np.isnan(deviation[~learned]).all()
    one = gaussian["Zr-Cu"]
    kind = types == "Zr-Cu"
    assert np.allclose(
        strengths(one, types[kind], distance[kind], soap[kind]),
        np.array(strengths(gaussian, types, distance, soap))[:, kind],
    )


class _Numbers:
    """River's own learners of numbers know nothing of strings."""

    def __init__(self, model):
        self.model = model

    def predict_one(self, x, with_dist=False):
        return self.model.predict_one({"distance": x["distance"]}, with_dist=with_dist)


def test_many_bonds_are_asked_for_in_batches_and_come_back_in_order():
    count = 2 * BATCH + 3
    asked = []

    class Counting:
        def predict_arrays(self, types, distance, soap):
            asked.append(len(types))
            return distance, 2 * distance

    distance = np.arange(count, dtype=float)
    mean, deviation = strengths(Counting(), np.full(count, "Zr-Cu"), distance, np.zeros((count, 1)))
    assert asked == [BATCH, BATCH, 3]
    assert np.array_equal(mean, distance) and np.array_equal(deviation, 2 * distance)
