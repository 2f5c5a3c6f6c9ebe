"""Hostile estimators made as a client would make them: parameters of any kind and size, wrapped in others."""

import collections
import copy
import inspect
import pickle
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from river import (
    base,
    compose,
    dummy,
    ensemble,
    facto,
    feature_extraction,
    forest,
    linear_model,
    metrics,
    misc,
    multiclass,
    preprocessing,
    stats,
    tree,
    utils,
)

from tests.fuzz.seeds import PICKLERS

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 50, 255, 1000, 1001, 10**4, 10**6, 10**6 + 1, 10**7, 10**13, 2**31, 2**63 - 1, 2**64, -(10**13)),
    *(0.0, 1e-9, 0.5, 1.0, 1e7, 1e13, float("inf"), float("nan"), True, False, None),
)
KINDS: tuple[Callable[[Any], Any], ...] = (
    *(np.int64, np.uint64, np.int32, np.uint8, np.float64, np.float32, np.bool_, np.str_),
    *(np.array, lambda value: np.array([value]), lambda value: np.array([[value]]), float, str, complex),
)


def hostile_value(chance: random.Random, depth: int = 0) -> Any:
    """A value that no parameter expects."""
    kind = chance.randrange(9 if depth < 3 else 3)
    if kind == 0:
        return chance.choice(NUMBERS)
    if kind == 1:
        return _of_a_kind(chance)
    if kind == 2:
        return chance.choice(("", "x", "x" * 20_000, "(a+)+$", "x\ud800", b"x" * 20_000, "\x00", 1 << 5000))
    if kind == 3:
        return [hostile_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 2, 20)))]
    if kind == 4:
        return tuple(hostile_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 2, 20))))
    if kind == 5:
        return {chance.choice(("a", 1, "n_models", (1, 2))): hostile_value(chance, depth + 1) for _ in range(2)}
    if kind == 6:
        return hostile_partial(chance, depth)
    if kind == 7:
        return container(chance, depth)
    return chance.choice(MODELS)()


def _of_a_kind(chance: random.Random) -> Any:
    try:
        return chance.choice(KINDS)(chance.choice(NUMBERS))
    except (TypeError, ValueError, OverflowError):
        return np.int64(10**13)


def hostile_partial(chance: random.Random, depth: int = 0) -> Any:
    called = chance.choice(
        (
            *(list, tuple, set, dict, float, int, str, collections.deque, collections.Counter, collections.defaultdict),
            *(
                ensemble.BaggingRegressor,
                stats.RollingQuantile,
                stats.RollingIQR,
                stats.Mean,
                utils.Rolling,
                copy.deepcopy,
            ),
            *(
                linear_model.LinearRegression().clone,
                preprocessing.StandardScaler,
                feature_extraction.TFIDF,
                np.ones,
                np.array,
            ),
            *(feature_extraction.vectorize.tokenize_using_regex_pattern, feature_extraction.vectorize.find_all_ngrams),
            *(utils.math.minkowski_distance, forest.ARFRegressor, random.Random(1).gauss, misc.SDFT),
        )
    )
    arguments = [hostile_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    names = ("n_models", "window_size", "maxlen", "shape", "model", "seed", "pattern", "q", "a")
    keywords = {chance.choice(names): hostile_value(chance, depth + 1) for _ in range(chance.randrange(3))}
    return partial(called, *arguments, **keywords)


def container(chance: random.Random, depth: int = 0) -> Any:
    factory = chance.choice((None, float, list, hostile_partial(chance, depth + 1)))
    kind = chance.randrange(6)
    if kind == 0:
        return collections.defaultdict(factory)
    if kind == 1:
        return utils.VectorDict(None, factory)
    if kind == 2:
        return collections.deque([1.0], maxlen=chance.choice((1, 10**6, 10**13)))
    if kind == 3:
        return iter([factory])
    if kind == 4:
        return np.zeros(chance.choice(((0,), (0, 5), (10**6, 0), (0, 2**40), (3, 3))))
    return collections.defaultdict(partial(collections.defaultdict, factory))


MODELS: tuple[Callable[[], Any], ...] = (
    linear_model.LinearRegression,
    lambda: linear_model.LogisticRegression(l1=0.1),
    lambda: preprocessing.MinMaxScaler() | linear_model.LinearRegression(),
    lambda: preprocessing.StandardScaler(window_size=5) | linear_model.PARegressor(),
    lambda: ensemble.BaggingRegressor(linear_model.LinearRegression(), n_models=2, seed=1),
    lambda: ensemble.SRPRegressor(linear_model.LinearRegression(), n_models=2, seed=1),
    lambda: forest.ARFRegressor(n_models=2, seed=1),
    lambda: forest.OXTRegressor(n_models=2, seed=1),
    lambda: facto.FMRegressor(seed=1),
    lambda: facto.HOFMRegressor(seed=1),
    lambda: feature_extraction.BagOfWords(on="a") | linear_model.LinearRegression(),
    lambda: feature_extraction.RBFSampler(seed=1) | linear_model.LinearRegression(),
    lambda: feature_extraction.TargetAgg(by="c", how=stats.RollingQuantile(0.5, 5)) | linear_model.LinearRegression(),
    lambda: feature_extraction.PolynomialExtender() | linear_model.LinearRegression(),
    lambda: multiclass.OutputCodeClassifier(linear_model.LogisticRegression(), code_size=4, seed=1),
    lambda: tree.HoeffdingTreeRegressor(grace_period=10),
    lambda: dummy.NoChangeClassifier(),
    lambda: dummy.StatisticRegressor(stats.RollingQuantile(0.5, 5)),
    lambda: metrics.ConfusionMatrix(),
)


def wrapped(chance: random.Random, model: Any) -> Any:
    """The model in a few others, whose counts are set afterwards, as an upload may."""
    for _ in range(chance.randrange(4)):
        kind = chance.randrange(5)
        if kind == 0:
            outer: Any = ensemble.BaggingRegressor(linear_model.LinearRegression(), n_models=2, seed=1)
            outer.model, outer.n_models = model, chance.choice((2, 2, 5, 30, 1000, np.int64(10**8)))
        elif kind == 1:
            outer = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LinearRegression())
            outer.steps[chance.choice(("StandardScaler", "LinearRegression", "x" * 300))] = model
        elif kind == 2:
            outer = preprocessing.TargetStandardScaler(linear_model.LinearRegression())
            outer.regressor = model
        elif kind == 3:
            outer = compose.Grouper(preprocessing.StandardScaler(), by="c")
            outer.transformers = collections.defaultdict(partial(copy.deepcopy, model))
        else:
            outer = forest.ARFRegressor(n_models=2, seed=1)
            outer.metric, outer.n_models = model, chance.choice((2, 2, 5, 1000, np.uint64(10**12)))
        model = outer
    return model


def held(model: Any, chance: random.Random) -> Any:
    """The model itself, or an object somewhere in it that has attributes."""
    found = [model]
    for one in found:
        if len(found) > 200:
            break
        parts = list(vars(one).values())
        parts += [item for part in parts if isinstance(part, dict) for item in part.values()]
        found += [
            part
            for part in parts
            if hasattr(part, "__dict__") and not isinstance(part, type) and not any(part is known for known in found)
        ]
    return chance.choice(found)


def hostile_estimator(chance: random.Random) -> bytes:
    """An upload of an estimator with one to three of its attributes replaced."""
    model = chance.choice(MODELS)()
    for _ in range(chance.choice((1, 1, 2, 3))):
        target = held(model, chance)
        if not hasattr(target, "__dict__"):
            continue
        names = list(vars(target))
        if chance.random() < 0.6 and isinstance(target, base.Base):
            names = [name for name in inspect.signature(type(target)).parameters if name in vars(target)] or names
        new = ("learn_one", "predict_one", "fit_one", "_last_step", "_supervised", "clone", "n_models")
        name = chance.choice(names) if names and chance.random() < 0.9 else chance.choice(new)
        vars(target)[name] = hostile_value(chance)
    model = wrapped(chance, model)
    try:
        return chance.choice(PICKLERS)(model)
    except (TypeError, ValueError, AttributeError, RecursionError, UnicodeEncodeError, pickle.PicklingError):
        return pickle.dumps(linear_model.LinearRegression(), 4)
