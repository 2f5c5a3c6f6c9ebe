"""Estimators as JSON: what can be described is built again, and what can't is refused where it is wrong."""

import json
import math
import random

import pytest
from river import base, compose, drift, linear_model, metrics, neighbors, optim, preprocessing, stats
from tailrace.estimators import description
from tailrace.estimators.description import DescriptionError, build, classes, describe

from tests.learning.admitted import LINEAR, NEEDED

pytestmark = pytest.mark.one_database  # estimators alone


def examples() -> list:
    """One estimator of each class that river itself can construct for its tests."""
    found = []
    for name, cls in classes().items():
        try:
            params = list(cls._unit_test_params())
            found += [pytest.param(cls(**one), id=f"{name}-{index}") for index, one in enumerate(params)]
        except (TypeError, ValueError):
            continue
    return found


# Their examples hold a distance function, or have no steps, or infinite bounds.
UNDESCRIBED = ("ClassifierChain", "PredClipper", "river.compose.Pipeline", "TransformerProduct", "TransformerUnion")


@pytest.mark.parametrize("estimator", [p for p in examples() if not any(one in p.id for one in UNDESCRIBED)])
def test_it_describes_what_river_constructs_so_that_it_is_built_again(estimator) -> None:
    described = json.loads(json.dumps(describe(estimator)))
    built = description._Builder().build(described, "estimator", 0)
    assert type(built) is type(estimator)
    assert describe(built) == described


def test_it_knows_every_public_estimator_of_river_but_the_listed_ones() -> None:
    import inspect

    import river.api

    known = set(classes().values())
    for module_name in river.api.__all__:
        if module_name in {"base", "compat", "datasets", "evaluate", "stream", "utils"}:
            continue
        module = getattr(river.api, module_name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name, None)
            public = isinstance(value, type) and issubclass(value, base.Estimator) and not inspect.isabstract(value)
            if public:
                assert value in known or f"river.{module_name}.{name}" in description.NOT_DESCRIBABLE, name


@pytest.mark.parametrize("name", NEEDED)
def test_it_builds_what_needs_parameters(name: str) -> None:
    described = {"class": name, "params": NEEDED[name]}
    built = description._Builder().build(described, "estimator", 0)
    assert json.dumps(description._Builder().build(describe(built), "estimator", 0).__class__.__name__)
    assert describe(built)["class"] == name


def test_a_pipeline_that_was_described_predicts_as_the_one_it_describes() -> None:
    original = compose.Pipeline(
        ("pick", compose.Select("a", "b") + compose.SelectType(float)),
        preprocessing.StandardScaler(),
        linear_model.LinearRegression(optimizer=optim.Adam(0.05), loss=optim.losses.Huber(0.3), intercept_lr=0.2),
    )
    built = build(json.loads(json.dumps(describe(original))))
    chance = random.Random(1)
    for _ in range(50):
        x = {name: chance.random() for name in "abc"}
        assert built.predict_one(x) == original.predict_one(x)
        original.learn_one(x, x["a"] + x["b"])
        built.learn_one(x, x["a"] + x["b"])
    assert list(built.steps) == ["pick", "StandardScaler", "LinearRegression"]


def test_it_is_built_from_what_a_person_writes() -> None:
    model = build(
        {
            "class": "compose.Pipeline",
            "steps": [
                {"class": "preprocessing.StandardScaler", "name": "scale"},
                {"class": "linear_model.LinearRegression", "params": {"intercept_lr": 0.1}},
            ],
        }
    )
    assert list(model.steps) == ["scale", "LinearRegression"]
    assert model["LinearRegression"].intercept_lr.learning_rate == 0.1


def test_what_was_learned_is_not_described() -> None:
    model = linear_model.LinearRegression()
    before = describe(model)
    model.learn_one({"a": 1.0}, 2.0)
    assert describe(model) == before


def test_a_default_is_left_out() -> None:
    assert describe(stats.Var(ddof=0)) == {"class": "river.stats.Var", "params": {"ddof": 0}}
    assert describe(metrics.MAE()) == {"class": "river.metrics.MAE"}
    assert "params" not in describe(neighbors.LazySearch())
    assert "window" not in describe(drift.KSWIN(seed=1))["params"]


BAGGING = {"class": "ensemble.BaggingRegressor", "params": {"model": LINEAR, "n_models": 1000}}

REFUSED = {
    "not a mapping": ("LinearRegression", "estimator", "not a description"),
    "no class": ({}, "estimator.class", "None is not the name of a class"),
    "class is a number": ({"class": 3}, "estimator.class", "3 is not the name"),
    "unknown class": (
        {"class": "linear_model.LinearRegresion"},
        "estimator.class",
        "did you mean 'linear_model.LinearRegression'",
    ),
    "case of class": ({"class": "linearregression"}, "estimator.class", "did you mean 'linear_model.LinearRegression'"),
    "os.system": ({"class": "os.system"}, "estimator.class", "'os.system' is not a class that can be described"),
    "walk": ({"class": "river.base.os.system"}, "estimator.class", "river.base.os.system"),
    "data set": ({"class": "datasets.Phishing"}, "estimator.class", "datasets.Phishing"),
    "compat": ({"class": "compat.SKL2RiverRegressor"}, "estimator.class", "compat.SKL2RiverRegressor"),
    "function": ({"class": "compose.FuncTransformer"}, "estimator.class", "it holds a function"),
    "abstract": ({"class": "base.Regressor"}, "estimator.class", "base.Regressor"),
    "not an estimator": ({"class": "optim.SGD"}, "estimator.class", "river.optim.SGD is not an estimator"),
    "unknown key": ({**LINEAR, "parms": {}}, "estimator.parms", "did you mean 'params'"),
    "params a list": ({**LINEAR, "params": []}, "estimator.params", "not a mapping of parameters"),
    "unknown parameter": (
        {**LINEAR, "params": {"intercept_ir": 1}},
        "estimator.params.intercept_ir",
        "did you mean 'intercept_lr'",
    ),
    "names accepted": ({**LINEAR, "params": {"x": 1}}, "estimator.params.x", "it takes optimizer, loss, l2, l1"),
    "missing parameter": ({"class": "compose.Prefixer"}, "estimator.params.prefix", "needs prefix"),
    "wrong scalar": ({**LINEAR, "params": {"l2": "much"}}, "estimator.params.l2", "takes a number as l2, not 'much'"),
    "scalar for an object": (
        {**LINEAR, "params": {"optimizer": 0.1}},
        "estimator.params.optimizer",
        "optim.base.Optimizer",
    ),
    "wrong object": (
        {**LINEAR, "params": {"optimizer": {"class": "stats.Mean"}}},
        "estimator.params.optimizer",
        "river.stats.Mean",
    ),
    "infinite": ({**LINEAR, "params": {"l2": math.inf}}, "estimator.params.l2", "not a finite number"),
    "nan": ({**LINEAR, "params": {"l2": math.nan}}, "estimator.params.l2", "not a finite number"),
    "unknown type": (
        {"class": "compose.SelectType", "params": {"types": [{"type": "object"}]}},
        "estimator.params.types[0]",
        "bool, float, int, str",
    ),
    "steps of a regressor": ({**LINEAR, "steps": []}, "estimator.steps", "has no steps"),
    "no steps": ({"class": "compose.Pipeline", "steps": []}, "estimator.steps", "at least one"),
    "wrong step": ({"class": "compose.Pipeline", "steps": [LINEAR, 3]}, "estimator.steps[1]", "3 is not a description"),
    "parameter in a step": (
        {"class": "compose.Pipeline", "steps": [{**LINEAR, "params": {"lr": 1}}]},
        "estimator.steps[0].params.lr",
        "no parameter 'lr'",
    ),
    "steps in params": (
        {"class": "compose.Pipeline", "params": {"steps": [LINEAR]}},
        "estimator.params.steps",
        "next to 'params'",
    ),
    "name of a step": (
        {"class": "compose.Pipeline", "steps": [{**LINEAR, "name": 3}]},
        "estimator.steps[0].name",
        "is a int; expected a string",
    ),
    "long name of a step": (
        {"class": "compose.Pipeline", "steps": [{**LINEAR, "name": "n" * 101}]},
        "estimator.steps[0].name",
        "has 101 characters; expected 1 to 100",
    ),
    "no name of a step": (
        {"class": "compose.Pipeline", "steps": [{**LINEAR, "name": ""}]},
        "estimator.steps[0].name",
        "has 0 characters",
    ),
    "name of a step that can't be printed": (
        {"class": "compose.TransformerUnion", "steps": [{"class": "compose.Select", "name": "a\u202eb"}]},
        "estimator.steps[0].name",
        "printable",
    ),
    "too many models": (
        {"class": "ensemble.BaggingRegressor", "params": {"model": LINEAR, "n_models": 10**9}},
        "estimator.params.n_models",
        "at most 1000",
    ),
    "window that ends the process": (
        {
            "class": "preprocessing.StatImputer",
            "params": {
                "imputers": [["a", {"class": "stats.RollingQuantile", "params": {"q": 0.5, "window_size": 10**13}}]]
            },
        },
        None,
        "at most 1000000",
    ),
    "trees that fill memory": (
        {"class": "anomaly.HalfSpaceTrees", "params": {"n_trees": 1000, "height": 16}},
        "estimator.params.n_trees",
        "nodes",
    ),
    "regular expression": (
        {"class": "feature_extraction.TFIDF", "params": {"tokenizer_pattern": "(a+)+$"}},
        "estimator.params.tokenizer_pattern",
        "river's default pattern",
    ),
    "long text": (
        {"class": "compose.Prefixer", "params": {"prefix": "p" * 2000}},
        "estimator.params.prefix",
        "at most 1000",
    ),
    "models of models": (
        {"class": "ensemble.BaggingRegressor", "params": {"model": BAGGING, "n_models": 1000}},
        "estimator",
        "river.ensemble.BaggingRegressor is too large",
    ),
    "half a character as a parameter": (
        {**LINEAR, "params": {"x\ud800": 1}},
        "estimator.params.x\\ud800",
        "no parameter 'x\\ud800'",
    ),
    "half a character as a class": ({"class": "x\ud800"}, "estimator.class", "'x\\ud800' is not a class"),
    "a degree of ten": (
        {"class": "facto.HOFMRegressor", "params": {"degree": 10, "n_factors": 10}},
        "estimator.params.degree",
        "is 10; at most 4",
    ),
    "all products": (
        {"class": "feature_extraction.PolynomialExtender", "params": {"degree": 10}},
        "estimator.params.degree",
        "is 10; at most 5",
    ),
    "random features": (
        {"class": "feature_extraction.RBFSampler", "params": {"n_components": 10_000}},
        "estimator.params.n_components",
        "is 10000; at most 1000",
    ),
    "a whole float": (
        {"class": "ensemble.BaggingRegressor", "params": {"model": LINEAR, "n_models": 1e8}},
        "estimator.params.n_models",
        "is 100000000; at most 1000",
    ),
    "a shape": (
        {"class": "facto.FMRegressor", "params": {"n_factors": 101}},
        "estimator.params.n_factors",
        "is 101; at most 100",
    ),
    "a window of nothing": (
        {"class": "stats.RollingQuantile", "params": {"q": 0.5, "window_size": 0}},
        "estimator.params.window_size",
        "is 0; at least 1",
    ),
    "a panic of the constructor": (
        {"class": "metrics.RollingROCAUC", "params": {"window_size": 0}},
        "estimator.params.window_size",
        "at least 1",
    ),
    "a statistic as a step": (
        {"class": "compose.Pipeline", "steps": [{"class": "stats.Mean"}, LINEAR]},
        "estimator.steps[0].class",
        "river.stats.Mean can't be a step of river.compose.Pipeline",
    ),
    "half a character": (
        {"class": "compose.Prefixer", "params": {"prefix": "x\ud800"}},
        "estimator.params.prefix",
        "half a character",
    ),
    "half a character in a key": (
        {"class": "compose.Renamer", "params": {"mapping": {"x\ud800": "y"}}},
        "estimator.params.mapping",
        "half a character",
    ),
    "constructor says no": ({"class": "stats.Quantile", "params": {"q": 2.0}}, "estimator", "river.stats.Quantile"),
}


@pytest.mark.parametrize(("described", "field", "said"), REFUSED.values(), ids=REFUSED)
def test_it_says_what_is_wrong_and_where(described, field, said) -> None:
    with pytest.raises(DescriptionError) as caught:
        build(described)
    assert said in str(caught.value)
    assert field is None or caught.value.field == field


def test_it_bounds_the_depth() -> None:
    deep: dict = LINEAR
    for _ in range(10_000):
        deep = {"class": "preprocessing.TargetStandardScaler", "params": {"regressor": deep}}
    with pytest.raises(DescriptionError, match="more than 20 deep"):
        build(deep)


def test_it_bounds_the_number_of_values() -> None:
    with pytest.raises(DescriptionError, match="more than 2000 values"):
        build({"class": "compose.Select", "params": {"keys": ["x"] * 5000}})


def test_a_function_has_no_description() -> None:
    with pytest.raises(DescriptionError, match=r"estimator.steps\[0\].*it holds a function"):
        describe(compose.FuncTransformer(len) | linear_model.LinearRegression())
    with pytest.raises(DescriptionError, match="it is a function"):
        describe(neighbors.LazySearch(dist_func=max))


def test_every_listed_reason_is_of_a_class_that_river_has() -> None:
    import river.api

    for name in description.NOT_DESCRIBABLE:
        _, module, cls = name.split(".")
        assert hasattr(getattr(river.api, module), cls)
        assert name not in classes()
