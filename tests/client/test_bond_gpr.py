"""Bond strengths one bond at a time: the paper's process exactly, numerically sound, calibrated, and strict about input."""

import copy
import doctest
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from tailrace.estimators import BondGPR
from tailrace.estimators import bond_gpr as bond_gpr_module
from tailrace.estimators._bond_map import BondMap
from tailrace.estimators._posterior import Posterior

pytestmark = pytest.mark.one_database  # an estimator alone

NUMBERS = 6


def _bonds(n, seed=0, numbers=NUMBERS, noise=0.02):
    """Distances (Å), SOAP numbers and strengths (eV) of made-up bonds."""
    random = np.random.default_rng(seed)
    distance = random.uniform(2.0, 4.1, n)
    soap = 0.3 * random.normal(size=(n, numbers)) / np.arange(1, numbers + 1)
    soap[:, 0] = 0.95
    strength = np.exp((2.8 - distance) / 0.7) * (1 + soap[:, 1] - 0.5 * soap[:, 2] * distance)
    return distance, soap, strength + noise * np.exp((2.8 - distance) / 1.6) * random.normal(size=n)


def _dicts(distance, soap):
    return [
        {"distance": d, **{f"s{k}": value for k, value in enumerate(row)}}
        for d, row in zip(distance.tolist(), soap.tolist(), strict=True)
    ]


def _taught(n=200, **parameters):
    model = BondGPR(**parameters)
    distance, soap, strength = _bonds(n)
    for x, y in zip(_dicts(distance, soap), strength.tolist(), strict=True):
        model.learn_one(x, y)
    return model


def _process(learned, asked, theta, zeta, noise):
    """Mean of the Gaussian process by its kernel, as textbooks have it (Rasmussen and Williams, equation 2.23)."""

    def kernel(a, b):
        return np.exp(-(np.subtract.outer(a[0], b[0]) ** 2) / (2 * theta**2)) * (a[1] @ b[1].T) ** zeta

    matrix = kernel(learned, learned) + noise * np.eye(len(learned[0]))
    return kernel(asked, learned) @ np.linalg.solve(matrix, learned[2])


def test_its_example_runs():
    assert doctest.testmod(bond_gpr_module).failed == 0


@pytest.mark.parametrize(("theta", "centres"), [(0.5, 8), (1.0, 6), (2.0, 4)])
def test_its_map_has_the_papers_kernel_as_scalar_product(theta, centres):
    distance, soap, _ = _bonds(200)
    columns = BondMap(theta, 1, centres, 1.8, 4.2, NUMBERS).many(distance, soap)
    kernel = np.exp(-(np.subtract.outer(distance, distance) ** 2) / (2 * theta**2)) * (soap @ soap.T)
    assert np.abs(columns @ columns.T - kernel).max() < 5e-3


def test_with_zeta_two_the_map_has_the_square_where_all_products_are_there():
    random = np.random.default_rng(2)
    distance, soap = random.uniform(2, 4, 50), np.zeros((50, 6))
    soap[:, :2] = random.normal(size=(50, 2))  # the products of two numbers are among the first six
    columns = BondMap(1.0, 2, 6, 1.8, 4.2, 6).many(distance, soap)
    kernel = np.exp(-(np.subtract.outer(distance, distance) ** 2) / 2) * (soap @ soap.T) ** 2
    assert columns.shape == (50, 36)
    assert np.abs(columns @ columns.T - kernel).max() < 5e-3 * np.abs(kernel).max()


def test_one_bond_at_a_time_it_becomes_the_batch_process_of_the_paper():
    distance, soap, strength = _bonds(300)
    model = BondGPR(theta=1.0, noise=0.03, decay=None, noise_decay=None)
    for x, y in zip(_dicts(distance, soap), strength.tolist(), strict=True):
        model.learn_one(x, y)
    asked = _bonds(100, seed=1)
    expected = _process((distance, soap, strength), asked, 1.0, 1, 0.03)
    got = np.array([model.predict_one(x) for x in _dicts(*asked[:2])])
    assert np.abs(got - expected).max() < 0.01 * np.std(asked[2])


def test_the_order_of_bonds_does_not_matter():
    distance, soap, strength = _bonds(300)
    forward, backward = BondGPR(), BondGPR()
    forward.learn_arrays(distance, soap, strength)
    for x, y in reversed(list(zip(_dicts(distance, soap), strength.tolist(), strict=True))):
        backward.learn_one(x, y)
    asked = _bonds(50, seed=1)
    assert np.allclose(forward.predict_arrays(*asked[:2]), backward.predict_arrays(*asked[:2]), rtol=1e-8, atol=1e-10)


def test_many_at_once_are_the_same_as_one_after_the_other():
    distance, soap, strength = _bonds(1100)
    xs = _dicts(distance, soap)
    one, many = BondGPR(), BondGPR()
    for x, y in zip(xs, strength.tolist(), strict=True):
        one.learn_one(x, y)
    frame = pd.DataFrame(xs)
    for first, last in ((0, 3), (3, 700), (700, 1100)):
        many.learn_many(frame[first:last], pd.Series(strength[first:last]))
    asked = pd.DataFrame(_dicts(*_bonds(100, seed=1)[:2]), index=range(500, 600))
    by_one = [one.predict_one(x) for x in asked.to_dict("records")]
    assert np.allclose(many.predict_many(asked), by_one, rtol=1e-8, atol=1e-10)
    deviations = [one.predict_std_one(x) for x in asked.to_dict("records")]
    assert np.allclose(many.predict_std_many(asked), deviations, rtol=1e-8)
    assert list(many.predict_many(asked).index) == list(range(500, 600))


@pytest.mark.parametrize("parameters", [{}, {"components": 0}, {"zeta": 2, "decay": None}])
def test_many_points_are_predicted_as_one_by_one_to_nine_digits(parameters):
    model = _taught(**parameters)
    asked = _dicts(*_bonds(700, seed=1)[:2])
    found, bands = model.predict_points(asked, 0.9)
    one_by_one = [model.predict_one(x) for x in asked]
    near = {"rtol": 1e-9, "atol": 1e-9 * max(map(abs, one_by_one))}
    assert np.allclose(found, one_by_one, **near)
    assert np.allclose(bands, [model.predict_interval_one(x, 0.9) for x in asked], **near)
    assert {type(value) for value in found} == {type(side) for band in bands for side in band} == {float}
    assert model.predict_points(asked) == (found, None)
    assert model.predict_points([]) == ([], None)


def test_many_points_before_the_first_bond_and_bad_ones_among_them():
    asked = _dicts(*_bonds(3)[:2])
    fresh = BondGPR()
    assert fresh.predict_points(asked, 0.9) == ([0.0] * 3, [fresh.predict_interval_one(x, 0.9) for x in asked])
    with pytest.raises(ValueError, match="level is a probability"):
        _taught(20).predict_points(asked, 1.0)
    with pytest.raises(ValueError, match="s1 is a finite number"):
        _taught(20).predict_points([asked[0], {**asked[1], "s1": "x"}])


def test_it_may_learn_one_after_many():
    distance, soap, strength = _bonds(400)
    mixed, plain = BondGPR(), BondGPR()
    mixed.learn_arrays(distance[:399], soap[:399], strength[:399])
    mixed.learn_one(_dicts(distance, soap)[399], strength[399])
    plain.learn_arrays(distance, soap, strength)
    asked = _bonds(20, seed=1)
    assert np.allclose(mixed.predict_arrays(*asked[:2]), plain.predict_arrays(*asked[:2]), rtol=1e-8, atol=1e-10)


def _nearly_dependent(n, seed):
    random = np.random.default_rng(seed)
    phi = random.normal(size=(n, 24)) * np.logspace(0, -4, 24)
    phi[:, 1] = phi[:, 0] * (1 + 1e-4 * random.normal(size=n))
    return phi, phi @ np.linspace(1, 2, 24) + 0.1 * random.normal(size=n)


def test_after_a_million_observations_it_is_still_the_solution():
    phi, y = _nearly_dependent(1_000_000, 1)
    posterior = Posterior(24, 1e-3, 1e-2)
    single = 20_000
    for row, target in zip(phi[:single], y[:single].tolist(), strict=True):
        posterior.learn(row, target)
    for first in range(single, len(y), 980):
        posterior.learn_many(phi[first : first + 980], y[first : first + 980])
    rooted = np.vstack([phi, math.sqrt(1e-3) * np.eye(24)])  # by QR: no normal equations, no squared condition number
    exact = np.linalg.lstsq(rooted, np.concatenate([y, np.zeros(24)]), rcond=None)[0]
    asked, _ = _nearly_dependent(200, 2)
    assert np.abs(asked @ (posterior.coefficients - exact)).max() < 1e-7
    assert posterior.variance == pytest.approx(0.01, rel=0.01)
    covariance = np.linalg.inv(rooted.T @ rooted)
    spread = np.sqrt(posterior.variance * (1 + np.einsum("ij,jk,ik->i", asked, covariance, asked)))
    assert np.allclose(posterior.spread_many(asked), spread, rtol=1e-6)
    assert posterior.count == 1_000_000


def test_rank_one_updates_between_refreshes_stay_exact_over_a_hundred_thousand():
    phi, y = _nearly_dependent(100_000 + 300, 3)
    updated, solved = Posterior(24, 1e-3, 1e-2), Posterior(24, 1e-3, 1e-2)
    for row, target in zip(phi, y.tolist(), strict=True):
        updated.learn(row, target)
    solved.learn_many(phi, y)
    assert updated.count % 512 > 200  # so that some hundred updates came after the last refresh
    assert np.abs(phi[:200] @ (updated.coefficients - solved.coefficients)).max() < 1e-9
    assert np.allclose(updated.spread_many(phi[:200]), solved.spread_many(phi[:200]), rtol=1e-9)


def test_its_intervals_hold_as_often_as_they_say():
    model = BondGPR()
    model.learn_arrays(*_bonds(600, noise=0.05))
    distance, soap, strength = _bonds(1000, seed=1, noise=0.05)
    for level in (0.5, 0.95):
        bounds = np.array([model.predict_interval_one(x, level) for x in _dicts(distance, soap)])
        share = ((bounds[:, 0] <= strength) & (strength <= bounds[:, 1])).mean()
        assert abs(share - level) < 0.05, level


def test_it_is_less_sure_of_what_it_has_not_seen():
    model = _taught()
    known = _dicts(*_bonds(1, seed=5)[:2])[0]
    assert model.predict_std_one({**known, "s1": 3.0}) > 2 * model.predict_std_one(known)
    assert model.predict_std_one(known) < BondGPR().predict_std_one(known)


def test_before_the_first_bond_it_says_zero_with_the_priors_uncertainty():
    model = BondGPR(prior=0.5, noise=0.01)
    x = {"distance": 2.8, "s0": 1.0}
    assert model.predict_one(x) == 0.0
    assert model.predict_std_one(x) == pytest.approx(0.5, rel=0.02)
    low, high = model.predict_interval_one(x)
    assert low == -high
    assert low == pytest.approx(-0.98, rel=0.02)


def test_it_learns_from_the_distance_alone():
    model = BondGPR(theta=0.5, centres=10, components=0)
    for d in np.linspace(2, 4, 100).tolist():
        model.learn_one({"distance": d, "s0": "ignored"}, math.exp(2.8 - d))
    assert model.predict_one({"distance": 3.0}) == pytest.approx(math.exp(-0.2), rel=0.02)


def test_it_uses_no_more_numbers_than_it_is_told():
    distance, soap, strength = _bonds(50)
    few, cut = BondGPR(components=3), BondGPR()
    few.learn_arrays(distance, soap, strength)
    cut.learn_arrays(distance, soap[:, :3], strength)
    assert few.predict_one(_dicts(distance, soap)[0]) == cut.predict_one(_dicts(distance, soap)[0])


def test_it_extrapolates_to_shorter_bonds():
    distance, soap, strength = _bonds(500)
    far = distance > 2.3
    model = BondGPR()
    model.learn_arrays(distance[far], soap[far], strength[far])
    predicted, _ = model.predict_arrays(distance[~far], soap[~far])
    assert np.abs(predicted / strength[~far] - 1).max() < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": None}, "distance is a finite number; got None"),
        ({"distance": "2.8 Å"}, "distance is a finite number; got '2.8 Å'"),
        ({"distance": float("nan")}, "distance is a finite number; got nan"),
        ({"distance": 0.0}, "distance is a length in Å, above 0"),
        ({"distance": -2.8}, "distance is a length in Å, above 0"),
        ({"distance": 10**400}, "distance is a finite number"),
        ({"s3": float("inf")}, "s3 is a finite number; got inf"),
        ({"s3": [1.0]}, "s3 is a finite number"),
        ({"distance": ...}, "there is no distance"),
        ({"s5": ...}, "s0 to s5 here; there is no s5"),
    ],
)
def test_it_refuses_bad_features_and_stays_as_it_was(change, message):
    model = _taught(50)
    x = _dicts(*_bonds(1)[:2])[0] | change
    x = {name: value for name, value in x.items() if value is not ...}
    before = pickle.dumps(model)
    for call in (lambda: model.learn_one(x, 1.0), lambda: model.predict_one(x), lambda: model.predict_interval_one(x)):
        with pytest.raises(ValueError, match="^.*" + message.replace("(", r"\(")):
            call()
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("y", [float("nan"), float("inf"), -float("inf")])
def test_it_refuses_a_strength_that_is_not_finite(y):
    model = BondGPR()
    with pytest.raises(ValueError, match="finite number of eV"):
        model.learn_one({"distance": 2.5, "s0": 1.0}, y)
    assert model.predict_one({"distance": 2.5, "s0": 1.0}) == 0.0


def test_a_first_bond_without_soap_numbers_is_refused():
    with pytest.raises(ValueError, match="there is no s0"):
        BondGPR().learn_one({"distance": 2.5}, 1.0)


def test_a_bad_row_refuses_the_whole_table():
    distance, soap, strength = _bonds(30)
    model = BondGPR()
    distance[17] = -1.0
    with pytest.raises(ValueError, match=r"bond 17 .* distance -1\.0"):
        model.learn_arrays(distance, soap, strength)
    with pytest.raises(ValueError, match="shape"):
        model.learn_arrays(distance, soap[:3], strength)
    with pytest.raises(ValueError, match="a bond has a distance; the columns are s0"):
        model.predict_many(pd.DataFrame({"s0": [1.0]}))
    assert model.predict_one({"distance": 2.5, "s0": 1.0}) == 0.0


@pytest.mark.parametrize(
    "parameters",
    [
        {"theta": 0}, {"theta": math.nan}, {"zeta": 3}, {"zeta": 1.5}, {"noise": 0}, {"prior": -1}, {"decay": 0},
        {"noise_decay": 0.0}, {"centres": 1}, {"centres": 65}, {"components": -1}, {"components": 1000},
        {"shortest": 4.2, "longest": 4.2}, {"longest": math.inf},
    ],
)  # fmt: skip
def test_it_refuses_a_parameter_out_of_its_range(parameters):
    with pytest.raises(ValueError, match=r"got|expected"):
        BondGPR(**parameters)


def test_stored_half_way_it_goes_on_to_the_last_bit():
    whole = _taught(700)
    half = _taught(350)
    half = pickle.loads(pickle.dumps(half))
    rest = _bonds(700)
    other = _taught(350)
    for x, y in zip(_dicts(*rest[:2]), rest[2].tolist(), strict=True):
        half.learn_one(x, y)
        other.learn_one(x, y)
    xs = _dicts(*_bonds(200)[:2])
    assert [half.predict_one(x) for x in xs] == [other.predict_one(x) for x in xs]
    assert [half.predict_std_one(x) for x in xs] == [other.predict_std_one(x) for x in xs]
    assert copy.deepcopy(whole).predict_one(xs[0]) == whole.predict_one(xs[0])


def test_a_question_leaves_it_as_it_was():
    model = _taught(100)
    before = pickle.dumps(model)
    x = _dicts(*_bonds(1)[:2])[0]
    model.predict_one(x)
    model.predict_interval_one(x)
    model.predict_many(pd.DataFrame([x]))
    assert pickle.dumps(model) == before


def test_a_clone_has_its_parameters_and_knows_nothing():
    clone = _taught(50, theta=0.7, decay=None).clone()
    assert (clone.theta, clone.decay) == (0.7, None)
    assert clone.predict_one({"distance": 2.5, "s0": 1.0}) == 0.0
