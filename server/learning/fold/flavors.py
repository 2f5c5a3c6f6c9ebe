"""Flavors: the seven kinds of task, with the methods and the metrics of each."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.core.errors import Invalid
from server.core.validation import format_value
from server.learning.metrics.curves import History
from server.learning.metrics.prequential import (
    BINARY,
    MULTICLASS,
    ClassificationMetrics,
    Metrics,
    NoMetrics,
    RegressionMetrics,
)
from server.learning.river_adapters.pipelines import straight_learner
from server.learning.river_adapters.predicting import has_method, predictor_of


@dataclass(frozen=True)
class Flavor:
    """One kind of task.

    Parameters
    ----------
    name
        Its name in the API.
    predicts
        Methods that predict. The first that the estimator has is used.
    learns
        The method that learns one observation.
    target
        The target kind of a stream that is created for such a model.
    """

    name: str
    predicts: tuple[str, ...]
    learns: str
    target: str
    make_metrics: Callable[[int, History | None], Any]
    columns: tuple[str, ...] = ()

    def check(self, estimator: Any) -> None:
        """Check that an estimator can do this task.

        Raises
        ------
        Invalid
            If it can't. The message names the estimator, the missing method and the flavor.
        """
        wanted = [self.learns] if callable(getattr(estimator, self.learns, None)) else []
        if not wanted:
            raise self._lacks(estimator, self.learns)
        if not any(has_method(estimator, name) for name in self.predicts):
            raise self._lacks(estimator, " or ".join(self.predicts))

    def _lacks(self, estimator: Any, method: str) -> Invalid:
        return Invalid(
            f"{type(estimator).__name__} does not implement {method}, which the flavor {self.name} needs",
            field="flavor",
        )

    def predictor(self, estimator: Any) -> Callable[[dict[str, Any]], Any]:
        """Return the function that predicts one point: probabilities, if the flavor has them and the estimator gives them."""
        found = predictor_of(estimator, self.predicts)
        if found is not None:
            return found
        raise self._lacks(estimator, " or ".join(self.predicts))

    def learner(self, estimator: Any) -> Callable[[dict[str, Any], Any], Any]:
        """Return the function that learns one point from its features and its target (or None)."""
        learn: Callable[..., Any] = getattr(estimator, self.learns)
        if _takes_target(learn):
            return straight_learner(estimator, learn)
        return lambda x, y: learn(x)

    def new_metrics(self, window: int, *, with_history: bool) -> Metrics:
        metrics: Metrics = self.make_metrics(window, History(self.columns) if with_history and self.columns else None)
        return metrics


def _takes_target(learn: Callable[..., Any]) -> bool:
    estimator = getattr(learn, "__self__", None)
    learn = getattr(getattr(estimator, "_last_step", estimator), learn.__name__, learn)
    parameters = list(inspect.signature(learn).parameters.values())
    return len(parameters) > 1 and any(p.name == "y" or p.kind is p.VAR_POSITIONAL for p in parameters[1:2])


def _binary(window: int, history: History | None) -> ClassificationMetrics:
    return ClassificationMetrics(BINARY, window, history)


def _multiclass(window: int, history: History | None) -> ClassificationMetrics:
    return ClassificationMetrics(MULTICLASS, window, history)


FLAVORS = {
    flavor.name: flavor
    for flavor in (
        Flavor("regression", ("predict_one",), "learn_one", "number", RegressionMetrics, RegressionMetrics.COLUMNS),
        Flavor("binary", ("predict_proba_one",), "learn_one", "boolean", _binary, ClassificationMetrics.COLUMNS),
        Flavor(
            "multiclass",
            ("predict_one", "predict_proba_one"),
            "learn_one",
            "category",
            _multiclass,
            ClassificationMetrics.COLUMNS,
        ),
        Flavor("cluster", ("predict_one",), "learn_one", "any", NoMetrics),
        Flavor("neighbor", ("predict_one",), "learn_one", "any", NoMetrics),
        Flavor("custom", ("predict_one", "predict_proba_one"), "learn_one", "any", NoMetrics),
        Flavor("creme", ("predict_one",), "fit_one", "any", NoMetrics),
    )
}


def get(name: Any) -> Flavor:
    """Return the flavor with this name.

    Raises
    ------
    Invalid
        If there is none. The message lists the flavors.
    """
    if not isinstance(name, str) or name not in FLAVORS:
        raise Invalid(f"unknown flavor {format_value(name)}: expected one of {', '.join(FLAVORS)}", field="flavor")
    return FLAVORS[name]
