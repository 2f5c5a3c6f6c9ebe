"""The catalog of recipes: named, documented estimator definitions to create models from."""

import difflib
from dataclasses import asdict
from typing import Any

from river import (
    compose,
    dummy,
    forest,
    linear_model,
    neighbors,
    optim,
    preprocessing,
    stats,
    tree,
)
from river.base import Estimator
from tailrace.estimators import RuntimeRegressor

from server.core.errors import Invalid, NotFound
from server.core.validation import format_value
from server.learning.recipes.bonds import BOND_RECIPES
from server.learning.recipes.definition import GRACE, SEED, Parameter, Recipe

_RATE = Parameter("learning_rate", "number", 0.01, "Step size of the gradient descent.", 1e-9, 10)


def _linear(intercept_lr: float, learning_rate: float) -> Estimator:
    model = linear_model.LinearRegression(optimizer=optim.SGD(learning_rate), intercept_lr=intercept_lr)
    return compose.Pipeline(preprocessing.StandardScaler(), model)


def _logistic(learning_rate: float, l2: float) -> Estimator:
    model = linear_model.LogisticRegression(optimizer=optim.SGD(learning_rate), l2=l2)
    return compose.Pipeline(preprocessing.StandardScaler(), model)


def _knn(n_neighbors: int, window: int) -> Estimator:
    engine = neighbors.LazySearch(window_size=window)
    return compose.Pipeline(
        preprocessing.StandardScaler(), neighbors.KNNRegressor(n_neighbors=n_neighbors, engine=engine)
    )


def _bayesian(alpha: float, beta: float) -> Estimator:
    return linear_model.BayesianLinearRegression(alpha=alpha, beta=beta)


_RECIPES = (
    Recipe(
        "linear",
        "regression",
        "Linear regression on scaled features",
        "Standardizes each feature, then minimizes the squared error by gradient descent. Fast and small. It can't use "
        "products of features, so it is a poor choice if the target is proportional to a volume.",
        (
            Parameter("intercept_lr", "number", 0.1, "Step size of the intercept.", 0, 10),
            _RATE,
        ),
        _linear,
    ),
    Recipe(
        "bayesian",
        "regression",
        "Bayesian linear regression",
        "Exact linear regression with a Gaussian prior, without scaling and without an intercept. Takes O(D²) operations per "
        "observation for D features.",
        (
            Parameter("alpha", "number", 1, "Precision of the prior on each coefficient.", 1e-12, 1e12),
            Parameter("beta", "number", 1, "Precision of the noise, in 1/(unit of the target)².", 1e-12, 1e12),
        ),
        _bayesian,
    ),
    Recipe(
        "passive-aggressive",
        "regression",
        "Passive-aggressive regression",
        "Changes the weights just enough to fit each observation. It adapts at once, to noise as well.",
        (
            Parameter("C", "number", 0.01, "Aggressiveness: the largest step.", 1e-9, 1e6),
            Parameter("mode", "integer", 2, "0: unbounded, 1: clipped, 2: damped steps.", 0, 2),
            Parameter("eps", "number", 0.1, "Smaller errors are ignored, in the unit of the target.", 0, 1e9),
            Parameter("learn_intercept", "boolean", False, "Whether to learn an intercept."),
        ),
        linear_model.PARegressor,
    ),
    Recipe(
        "runtime",
        "regression",
        "Run time of parallel jobs, with a prediction interval",
        "Predicts run times in seconds from the number of atoms (products of sizes such as x·y·z), the steps and the "
        "processes. Predictions are reasonable from the first observation on and never negative, with a calibrated "
        "interval. Features are recognized by name: x, y, z, atoms, steps, processes, nodes, threads. "
        "Other numbers are sizes; strings and booleans are labels, each with a factor of its own.",
        (
            Parameter("degree", "integer", 3, "Highest degree of the products of sizes.", 1, 4),
            Parameter(
                "memory",
                "integer",
                5000,
                "Effective number of observations remembered (at least 64), or 0 to weight all equally.",
                0,
                10**9,
            ),
            Parameter("max_terms", "integer", 64, "Most products of sizes.", 1, 256),
            Parameter("window", "integer", 500, "Number of latest errors that calibrate the interval.", 20, 100_000),
        ),
        RuntimeRegressor,
    ),
    *BOND_RECIPES,
    Recipe(
        "forest",
        "regression",
        "Adaptive random forest",
        "An ensemble of trees that are replaced when the data drift. It finds products of features and steps by itself. Slow "
        "(milliseconds per observation) and large.",
        (
            Parameter("n_models", "integer", 10, "Number of trees.", 1, 100),
            GRACE,
            SEED,
        ),
        forest.ARFRegressor,
    ),
    Recipe(
        "hoeffding-tree",
        "regression",
        "Hoeffding tree with linear leaves",
        "A tree that splits a leaf when it has enough evidence. It needs hundreds of observations.",
        (
            GRACE,
            Parameter("max_depth", "integer", 20, "Largest depth of the tree.", 1, 100),
        ),
        tree.HoeffdingTreeRegressor,
    ),
    Recipe(
        "knn",
        "regression",
        "Mean of the nearest neighbors",
        "Averages the targets of the nearest of the latest observations. It assumes no functional form and does not "
        "extrapolate. Its cost grows with the window.",
        (
            Parameter("n_neighbors", "integer", 5, "Number of neighbors.", 1, 1000),
            Parameter("window", "integer", 500, "Number of latest observations kept.", 1, 100_000),
        ),
        _knn,
    ),
    Recipe(
        "mean",
        "regression",
        "The mean of all targets: a baseline",
        "Ignores the features. A useful model has a smaller error than this one.",
        (),
        lambda: dummy.StatisticRegressor(stats.Mean()),
    ),
    Recipe(
        "logistic",
        "binary",
        "Logistic regression on scaled features",
        "Predicts the probability of true (such as the failure of a job) from standardized features.",
        (
            _RATE,
            Parameter("l2", "number", 0, "Strength of the penalty on large weights.", 0, 1e6),
        ),
        _logistic,
    ),
    Recipe(
        "hoeffding-tree-classifier",
        "multiclass",
        "Hoeffding tree",
        "A tree for any number of classes. It uses numbers and strings without conversion.",
        (
            Parameter(
                "grace_period",
                "integer",
                200,
                "Observations that a leaf collects between attempts to split.",
                1,
                1_000_000,
            ),
            Parameter("max_depth", "integer", 20, "Largest depth of the tree.", 1, 100),
        ),
        tree.HoeffdingTreeClassifier,
    ),
)
_BY_NAME = {recipe.name: recipe for recipe in _RECIPES}


def get(name: str) -> Recipe:
    """Return the recipe with this name.

    Raises
    ------
    NotFound
        If there is none. The message lists the recipes.
    """
    recipe = _BY_NAME.get(name)
    if recipe is None:
        raise NotFound(
            f"There is no recipe {format_value(name)}.{_did_you_mean(name, list(_BY_NAME))} The recipes are {', '.join(_BY_NAME)}.",
            field="recipe",
        )
    return recipe


def build(name: str, parameters: dict[str, Any] | None = None) -> tuple[str, Estimator, dict[str, Any]]:
    """Build a new estimator from a recipe.

    Parameters
    ----------
    name
        The recipe's name.
    parameters
        Values of some of its parameters; the others have their defaults.

    Returns
    -------
    flavor, estimator, resolved
        The kind of task, the estimator, and all parameters with their values.

    Raises
    ------
    NotFound
        If there is no such recipe.
    Invalid
        If a parameter is unknown, or its value has the wrong type or is out of range; ``field`` is ``parameters.<name>``.
    """
    recipe = get(name)
    known = {parameter.name: parameter for parameter in recipe.parameters}
    given = {} if parameters is None else parameters
    if not isinstance(given, dict):
        raise Invalid(
            f"parameters is {type(given).__name__}; expected an object of names and values.",
            field="parameters",
        )
    for unknown in given:
        if unknown not in known:
            expected = f"It has {', '.join(known)}." if known else "It has none."
            raise Invalid(
                f"The recipe {name!r} has no parameter {format_value(unknown)}."
                f"{_did_you_mean(str(unknown), list(known))} {expected}",
                field=f"parameters.{unknown}",
            )
    resolved = {key: parameter.check(given.get(key, parameter.default)) for key, parameter in known.items()}
    try:
        estimator = recipe.build(**resolved)
    except ValueError as error:
        raise Invalid(f"The recipe {name!r} refuses these parameters: {error}.", field="parameters") from error
    return recipe.flavor, estimator, resolved


def listing() -> list[dict[str, Any]]:
    """Return all recipes with their parameters as plain data, in the order of the documentation."""
    return [
        {
            "name": recipe.name,
            "flavor": recipe.flavor,
            "summary": recipe.summary,
            "description": recipe.description,
            "parameters": [_plain(parameter) for parameter in recipe.parameters],
        }
        for recipe in _RECIPES
    ]


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name[:80], known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _plain(parameter: Parameter) -> dict[str, Any]:
    values = {key: value for key, value in asdict(parameter).items() if value is not None}
    return values | {"choices": list(parameter.choices)} if parameter.choices is not None else values
