"""Recipes: what can be asked for, what is refused, and that what is built learns and replays."""

import json
import pickle

import pytest
from river import linear_model, preprocessing

from server.core.errors import Invalid, NotFound
from server.learning.recipes import catalog

pytestmark = pytest.mark.one_database  # estimators alone

NAMES = [recipe["name"] for recipe in catalog.listing()]
POINTS = [
    ({"x": float(1 + i % 7), "y": float(1 + i % 5), "z": float(1 + i % 3)}, float(10 + i % 11)) for i in range(80)
]
BONDS = [
    (
        {"bond": ("Zr-Cu", "Al-Al")[i % 2], "distance": 2.4 + i / 50, **{f"s{k}": i * k % 7 / 50 for k in range(8)}},
        1 / (1 + i % 7),
    )
    for i in range(80)
]


def _targets(flavor):
    return {"binary": lambda y: y > 15, "multiclass": lambda y: "slow" if y > 15 else "fast"}.get(flavor, float)


def _points(name):
    return BONDS if name.startswith("bond-") else POINTS


def _replay(name):
    flavor, model, _ = catalog.build(name)
    target = _targets(flavor)
    answers = []
    for x, y in _points(name):
        answers.append(model.predict_one(dict(x)))
        model.learn_one(dict(x), target(y))
    return answers, model


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_replays_bit_for_bit(name):
    first, model = _replay(name)
    second, _ = _replay(name)
    assert first == second
    copied = pickle.loads(pickle.dumps(model))
    asked = _points(name)[0][0]
    assert copied.predict_one(dict(asked)) == model.predict_one(dict(asked))
    assert first[-1] is not None


def test_it_has_the_recipes_that_were_promised():
    assert {"linear", "bayesian", "passive-aggressive", "runtime", "bond-gpr", "bond-distance", "bond-forest"} <= set(
        NAMES
    )
    assert len(set(NAMES)) == len(NAMES)
    assert {catalog.get(name).flavor for name in NAMES} == {"regression", "binary", "multiclass"}


def test_it_lists_plain_data_that_documents_each_parameter():
    listed = catalog.listing()
    assert json.loads(json.dumps(listed)) == listed
    for recipe in listed:
        assert recipe["summary"] and recipe["description"]
        for parameter in recipe["parameters"]:
            assert parameter["description"].endswith(".") and "default" in parameter


@pytest.mark.parametrize("name", NAMES)
def test_its_defaults_are_within_their_own_ranges(name):
    _, _, resolved = catalog.build(name)
    assert catalog.build(name, resolved)[2] == resolved


def test_the_linear_recipe_is_the_predecessors():
    _, model, resolved = catalog.build("linear")
    theirs = preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)
    assert resolved == {"intercept_lr": 0.1, "learning_rate": 0.01}
    for x, y in POINTS:
        assert model.predict_one(x) == theirs.predict_one(x)
        model.learn_one(x, y)
        theirs.learn_one(x, y)


def test_the_passive_aggressive_recipe_is_the_predecessors():
    _, model, _ = catalog.build("passive-aggressive")
    theirs = linear_model.PARegressor(C=0.01, mode=2, eps=0.1, learn_intercept=False)
    for x, y in POINTS:
        assert model.predict_one(x) == theirs.predict_one(x)
        model.learn_one(x, y)
        theirs.learn_one(x, y)


def test_it_sets_a_parameter():
    _, model, resolved = catalog.build("runtime", {"degree": 2})
    assert (model.degree, resolved["degree"], resolved["memory"]) == (2, 2, 5000)


def test_it_names_the_known_recipes_and_the_likely_one():
    with pytest.raises(NotFound, match=r"Did you mean 'runtime'.*linear"):
        catalog.get("runtim")


@pytest.mark.parametrize(
    ("name", "parameters", "field"),
    [
        ("linear", {"intercept_rl": 0.1}, "parameters.intercept_rl"),
        ("linear", {"intercept_lr": "0.1"}, "parameters.intercept_lr"),
        ("linear", {"intercept_lr": True}, "parameters.intercept_lr"),
        ("linear", {"intercept_lr": float("nan")}, "parameters.intercept_lr"),
        ("linear", {"intercept_lr": 10**400}, "parameters.intercept_lr"),
        ("linear", {"intercept_lr": -1}, "parameters.intercept_lr"),
        ("linear", {"intercept_lr": None}, "parameters.intercept_lr"),
        ("forest", {"seed": 1.5}, "parameters.seed"),
        ("forest", {"n_models": 101}, "parameters.n_models"),
        ("passive-aggressive", {"learn_intercept": 1}, "parameters.learn_intercept"),
        ("mean", {"anything": 1}, "parameters.anything"),
        ("runtime", {"memory": 3}, "parameters"),
        ("runtime", [1], "parameters"),
        ("bond-gpr", {"hyperparameters": "guessed"}, "parameters.hyperparameters"),
        ("bond-gpr", {"centres": 17}, "parameters.centres"),
    ],
)
def test_it_refuses_a_wrong_parameter_by_name(name, parameters, field):
    with pytest.raises(Invalid) as refused:
        catalog.build(name, parameters)
    assert refused.value.field == field


def test_it_says_which_parameter_was_meant():
    with pytest.raises(Invalid, match="Did you mean 'intercept_lr'"):
        catalog.build("linear", {"intercept_rl": 0.1})
