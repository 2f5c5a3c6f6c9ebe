"""One model for all bonds: each type learns on its own, unseen types start on their own, and bad types are refused."""

import doctest
import pickle

import numpy as np
import pandas as pd
import pytest
from river import linear_model
from tailrace.estimators import BondGPR, ByBondType, bond_features, bond_recipes, by_bond_type
from tailrace.estimators.description import build, describe

pytestmark = pytest.mark.one_database  # an estimator alone

KINDS = ("Zr-Cu", "Cu-Cu", "Al-Al")


def _points(n=120, seed=0):
    random = np.random.default_rng(seed)
    points = []
    for number in range(n):
        kind = KINDS[number % 3]
        x = {"bond": kind, "distance": random.uniform(2, 4), **{f"s{k}": random.normal() / (k + 2) for k in range(8)}}
        points.append((x, len(kind) + KINDS.index(kind) + 0.1 * x["s1"]))
    return points


def _taught(model=None, points=None):
    model = model or ByBondType()
    for x, y in points or _points():
        model.learn_one(x, y)
    return model


def test_its_example_runs():
    assert doctest.testmod(by_bond_type).failed == 0
    assert doctest.testmod(bond_features).failed == 0


def test_a_type_knows_only_its_own_bonds():
    model = _taught()
    for kind in KINDS:
        alone = BondGPR()
        for x, y in _points():
            if x["bond"] == kind:
                alone.learn_one(x, y)
        for x, _ in _points(9, seed=1):
            assert model.predict_one({**x, "bond": kind}) == alone.predict_one(x)
            assert model.predict_interval_one({**x, "bond": kind}, 0.8) == alone.predict_interval_one(x, 0.8)
            assert model[kind].predict_std_one(x) == model.predict_std_one({**x, "bond": kind})


def test_an_unseen_type_says_what_its_prototype_says_and_leaves_no_trace():
    model = _taught()
    x = {**_points(1)[0][0], "bond": "Zr-Al"}
    before = pickle.dumps(model)
    assert model.predict_one(x) == 0.0
    assert model.predict_std_one(x) == BondGPR().predict_std_one(x)
    assert pickle.dumps(model) == before
    assert "Zr-Al" not in model.types


def test_each_type_begins_with_its_own_prototype_which_never_learns():
    prototype = BondGPR(theta=0.3)
    model = _taught(ByBondType(BondGPR(theta=0.9), {"Zr-Cu": prototype}))
    assert (model["Zr-Cu"].theta, model["Cu-Cu"].theta) == (0.3, 0.9)
    assert prototype.predict_one(_points(1)[0][0]) == 0.0


def test_a_table_is_learned_as_its_rows():
    points = _points(300)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    by_row, at_once = _taught(points=points), ByBondType()
    at_once.learn_many(pd.DataFrame(xs, index=range(7, 307)), pd.Series(ys, index=range(7, 307)))
    asked = [x for x, _ in _points(30, seed=1)]
    assert np.allclose(at_once.predict_many(pd.DataFrame(asked)), [by_row.predict_one(x) for x in asked], atol=1e-9)
    assert np.allclose(at_once.predict_std_many(pd.DataFrame(asked)), [by_row.predict_std_one(x) for x in asked])


def _by_kind(points):
    """Kind to the table and the strengths of its rows."""
    frame, strength = pd.DataFrame([x for x, _ in points]), pd.Series([y for _, y in points])
    return {
        kind: (frame[frame["bond"] == kind].drop(columns="bond"), strength[frame["bond"] == kind]) for kind in KINDS
    }


def test_a_types_rows_are_learned_to_the_last_bit_as_without_the_others():
    points = _points(300)
    prototypes = {"Zr-Cu": BondGPR(components=3), "Cu-Cu": BondGPR(components=0)}
    together = ByBondType(BondGPR(), prototypes)
    for half in (points[:150], points[150:]):
        together.learn_many(pd.DataFrame([x for x, _ in half]), pd.Series([y for _, y in half]))
    asked = pd.DataFrame([x for x, _ in _points(30, seed=1)]).drop(columns="bond")
    for kind in KINDS:
        alone = prototypes.get(kind, BondGPR()).clone()
        for half in (points[:150], points[150:]):
            alone.learn_many(*_by_kind(half)[kind])
        assert together[kind].predict_many(asked).tolist() == alone.predict_many(asked).tolist()
        assert together[kind].predict_std_many(asked).tolist() == alone.predict_std_many(asked).tolist()


def test_estimators_of_other_kinds_learn_their_rows_of_a_table_in_their_own_way():
    points = _points(90)
    model = ByBondType(linear_model.LinearRegression(), {"Zr-Cu": BondGPR()})
    model.learn_many(pd.DataFrame([x for x, _ in points]), pd.Series([y for _, y in points]))
    alone = linear_model.LinearRegression()
    alone.learn_many(*_by_kind(points)["Cu-Cu"])
    assert model["Cu-Cu"].weights == alone.weights
    assert isinstance(model["Zr-Cu"], BondGPR)
    rest, _ = _by_kind(points)["Cu-Cu"]
    asked = model.predict_many(pd.DataFrame([x for x, _ in points]))
    assert asked[rest.index].tolist() == alone.predict_many(rest).tolist()


def test_a_value_that_is_no_number_refuses_its_type_and_later_ones():
    points = _points(30)
    points[5][0]["s1"] = "far"  # an Al-Al
    model = ByBondType(None, {"Zr-Cu": BondGPR(components=0)})
    with pytest.raises(ValueError, match="far"):
        model.learn_many(pd.DataFrame([x for x, _ in points]), pd.Series([y for _, y in points]))
    assert "Al-Al" not in model.types
    points[5][0]["s1"] = float("nan")
    with pytest.raises(ValueError, match="finite numbers throughout"):
        ByBondType().learn_many(pd.DataFrame([x for x, _ in points]), pd.Series([y for _, y in points]))


def test_arrays_are_predicted_as_rows_and_an_unseen_type_is_not_a_number():
    model = _taught()
    asked = [x for x, _ in _points(30, seed=1)]
    kinds = np.array(["Zr-Al" if n == 4 else x["bond"] for n, x in enumerate(asked)])
    soap = np.array([[x[f"s{k}"] for k in range(8)] for x in asked])
    mean, spread = model.predict_arrays(kinds, np.array([x["distance"] for x in asked]), soap)
    assert np.isnan([mean[4], spread[4]]).all()
    rows = [n for n in range(30) if n != 4]
    assert np.allclose(mean[rows], [model.predict_one(asked[n]) for n in rows], atol=1e-10)
    assert np.allclose(spread[rows], [model.predict_std_one(asked[n]) for n in rows])


@pytest.mark.parametrize("kind", [None, 3, True, ["Zr-Cu"], ...])
def test_a_bond_without_a_type_is_refused(kind):
    x = {"distance": 2.5, "s0": 1.0} | ({} if kind is ... else {"bond": kind})
    model = ByBondType()
    with pytest.raises(ValueError, match="bond is a type of bond such as 'Zr-Cu'"):
        model.learn_one(x, 1.0)
    with pytest.raises(ValueError, match="bond is a type of bond such as 'Zr-Cu'"):
        model.predict_one(x)
    with pytest.raises(ValueError, match="bond"):
        model.learn_many(pd.DataFrame([x]), pd.Series([1.0]))
    assert model.types == []


def test_a_bond_that_is_refused_makes_no_type():
    model = ByBondType()
    with pytest.raises(ValueError, match="distance"):
        model.learn_one({"bond": "Zr-Cu", "distance": -1.0, "s0": 1.0}, 1.0)
    assert model.types == []


def test_there_are_only_so_many_types():
    model = ByBondType(most=2)
    for kind in ("a", "b"):
        model.learn_one({"bond": kind, "distance": 2.5, "s0": 1.0}, 1.0)
    with pytest.raises(ValueError, match="at most 2 are kept"):
        model.learn_one({"bond": "c", "distance": 2.5, "s0": 1.0}, 1.0)
    assert model.types == ["a", "b"]


def test_a_forests_features_keep_their_order_and_must_be_there():
    kept = bond_features.BondFeatures(2).transform_one({"s1": 1, "s0": 2, "distance": 3, "s2": 4})
    assert list(kept.items()) == [("distance", 3.0), ("s0", 2.0), ("s1", 1.0)]
    with pytest.raises(ValueError, match="there is no s1"):
        bond_features.BondFeatures(2).transform_one({"s0": 2, "distance": 3})
    with pytest.raises(ValueError, match="0 to 1024"):
        bond_features.BondFeatures(-1)


def test_many_points_are_predicted_as_each_types_estimator_does():
    model = _taught()
    asked = [x for x, _ in _points(100, seed=1)] + [{**_points(1)[0][0], "bond": "never seen"}]
    found, bands = model.predict_points(asked, 0.9)
    assert np.allclose(found, [model.predict_one(x) for x in asked], rtol=1e-9, atol=1e-9)
    assert np.allclose(bands, [model.predict_interval_one(x, 0.9) for x in asked], rtol=1e-9, atol=1e-9)
    plain = _taught(ByBondType(linear_model.LinearRegression()))
    assert plain.predict_points(asked, 0.9) == ([plain.predict_one(x) for x in asked], None)
    with pytest.raises(ValueError, match="type of bond"):
        model.predict_points([{"distance": 2.0}])


def test_it_has_intervals_only_where_its_estimators_have():
    model = ByBondType(linear_model.LinearRegression())
    assert getattr(model, "predict_interval_one", None) is None
    assert getattr(model, "predict_std_one", None) is None
    assert callable(getattr(ByBondType(), "predict_interval_one", None))


@pytest.mark.parametrize("name", bond_recipes.RECIPES)
def test_the_recipes_models_learn_are_stored_and_go_on_to_the_last_bit(name):
    whole, half = bond_recipes.RECIPES[name](), bond_recipes.RECIPES[name]()
    points = _points(400)
    for x, y in points[:200]:
        whole.learn_one(x, y)
        half.learn_one(x, y)
    half = pickle.loads(pickle.dumps(half))
    for x, y in points[200:]:
        whole.learn_one(x, y)
        half.learn_one(x, y)
    assert [whole.predict_one(x) for x, _ in points] == [half.predict_one(x) for x, _ in points]


@pytest.mark.parametrize("name", bond_recipes.RECIPES)
def test_the_recipes_models_have_a_description(name):
    model = bond_recipes.RECIPES[name]()
    described = describe(model)
    assert described["class"].endswith("ByBondType")
    again = build(described)
    assert describe(again) == described
    _taught(again)
    assert again.types == sorted(KINDS)


def test_the_papers_hyperparameters_are_the_papers():
    model = bond_recipes.bond_gpr("paper")
    prototypes = model.models
    assert {kind: one.theta for kind, one in prototypes.items() if one.theta != 0.5} == {"Zr-Cu": 1.0}
    assert {(one.zeta, one.decay, one.noise_decay) for one in prototypes.values()} == {(1, None, None)}
    with pytest.raises(ValueError, match="one of tuned, paper"):
        bond_recipes.bond_gpr("guessed")
