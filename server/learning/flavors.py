"""The seven kinds of task, and how a model of each predicts, learns and is scored."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.learning.history import History
from server.learning.pipelines import Predict, straight_learner, straight_predictor
from server.learning.scores import BINARY, MULTICLASS, LabelScores, NoScores, RegressionScores, Scores
from server.streams.errors import Invalid
from server.streams.validation import shown


@dataclass(frozen=True)
class Flavor:
    """One kind of task.

    Parameters
    ----------
    name
        As the API calls it.
    predicts
        Methods that predict, the first that the estimator has is used.
    learns
        The method that learns one observation.
    target
        The kind of target that a stream made for such a model gets.
    """

    name: str
    predicts: tuple[str, ...]
    learns: str
    target: str
    make_scores: Callable[[int, History | None], Any]
    columns: tuple[str, ...] = ()

    def check(self, estimator: Any) -> None:
        """Refuse an estimator that can't do this task.

        Raises
        ------
        Invalid
            Naming the estimator, the method that it lacks and the flavor.
        """
        wanted = [self.learns] if callable(getattr(estimator, self.learns, None)) else []
        if not wanted:
            raise self._lacks(estimator, self.learns)
        if not any(_has(estimator, name) for name in self.predicts):
            raise self._lacks(estimator, " or ".join(self.predicts))

    def _lacks(self, estimator: Any, method: str) -> Invalid:
        return Invalid(
            f"{type(estimator).__name__} does not implement {method}, which the flavor {self.name} needs",
            field="flavor",
        )

    def predictor(self, estimator: Any) -> Callable[[dict[str, Any]], Any]:
        """The function that predicts one point: probabilities where the flavor has them and the estimator gives them."""
        for name in self.predicts:
            if _has(estimator, name):
                found = straight_predictor(estimator, name)
                if name == "predict_proba_one" and _has(estimator, "predict_one"):
                    return _with_labels_instead(found, straight_predictor(estimator, "predict_one"))
                return found
        raise self._lacks(estimator, " or ".join(self.predicts))

    def learner(self, estimator: Any) -> Callable[[dict[str, Any], Any], Any]:
        """The function that learns one point, given its features and its target (or None)."""
        learn: Callable[..., Any] = getattr(estimator, self.learns)
        if _takes_target(learn):
            return straight_learner(estimator, learn)
        return lambda x, y: learn(x)

    def scores(self, window: int, *, with_history: bool) -> Scores:
        scores: Scores = self.make_scores(window, History(self.columns) if with_history and self.columns else None)
        return scores


def _with_labels_instead(shares: Predict, label: Predict) -> Predict:
    """Probabilities, or the label where a classifier gives none: every one of river's has the method, and some only raise."""

    def predict(x: dict[str, Any]) -> Any:
        try:
            return shares(x)
        except NotImplementedError:
            return label(x)

    return predict


def _has(estimator: Any, method: str) -> bool:
    if not callable(getattr(estimator, method, None)):
        return False
    last = getattr(estimator, "_last_step", estimator)  # a pipeline has every method, whatever its last step can do
    return last is estimator or callable(getattr(last, method, None))


def _takes_target(learn: Callable[..., Any]) -> bool:
    estimator = getattr(learn, "__self__", None)
    learn = getattr(getattr(estimator, "_last_step", estimator), learn.__name__, learn)
    parameters = list(inspect.signature(learn).parameters.values())
    return len(parameters) > 1 and any(p.name == "y" or p.kind is p.VAR_POSITIONAL for p in parameters[1:2])


def _binary(window: int, history: History | None) -> LabelScores:
    return LabelScores(BINARY, window, history)


def _multiclass(window: int, history: History | None) -> LabelScores:
    return LabelScores(MULTICLASS, window, history)


FLAVORS = {
    flavor.name: flavor
    for flavor in (
        Flavor("regression", ("predict_one",), "learn_one", "number", RegressionScores, RegressionScores.COLUMNS),
        Flavor("binary", ("predict_proba_one",), "learn_one", "boolean", _binary, LabelScores.COLUMNS),
        Flavor(
            "multiclass",
            ("predict_one", "predict_proba_one"),
            "learn_one",
            "category",
            _multiclass,
            LabelScores.COLUMNS,
        ),
        Flavor("cluster", ("predict_one",), "learn_one", "any", NoScores),
        Flavor("neighbor", ("predict_one",), "learn_one", "any", NoScores),
        Flavor("custom", ("predict_one", "predict_proba_one"), "learn_one", "any", NoScores),
        Flavor("creme", ("predict_one",), "fit_one", "any", NoScores),
    )
}


def get(name: Any) -> Flavor:
    """The flavor called ``name``.

    Raises
    ------
    Invalid
        Naming what was asked for and the flavors that there are.
    """
    if not isinstance(name, str) or name not in FLAVORS:
        raise Invalid(f"unknown flavor {shown(name)}: expected one of {', '.join(FLAVORS)}", field="flavor")
    return FLAVORS[name]
