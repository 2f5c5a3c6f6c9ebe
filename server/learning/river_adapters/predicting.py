"""Which of an estimator's methods predicts.

This module needs neither Django nor a database: mirrored models are predicted with it, too (:mod:`server.mirror.bundle`).
"""

from collections.abc import Sequence
from typing import Any

from server.learning.river_adapters.pipelines import Predict, straight_predictor


def predictor_of(estimator: Any, methods: Sequence[str]) -> Predict | None:
    """Return the function that predicts one point, by the first of the methods that the estimator has; None if it has none.

    If a classifier gives no probabilities, its labels are returned in place of them.
    """
    for name in methods:
        if has_method(estimator, name):
            found = straight_predictor(estimator, name)
            if name == "predict_proba_one" and has_method(estimator, "predict_one"):
                return _with_labels_instead(found, straight_predictor(estimator, "predict_one"))
            return found
    return None


def has_method(estimator: Any, method: str) -> bool:
    """Return whether an estimator has a method; of a pipeline, whether its last step has it."""
    if not callable(getattr(estimator, method, None)):
        return False
    last = getattr(estimator, "_last_step", estimator)  # a pipeline has every method, even if its last step lacks it
    return last is estimator or callable(getattr(last, method, None))


def _with_labels_instead(shares: Predict, label: Predict) -> Predict:
    """Return a function for probabilities, or the label if the classifier gives none. In river, some only raise an error."""

    def predict(x: dict[str, Any]) -> Any:
        try:
            return shares(x)
        except NotImplementedError:
            return label(x)

    return predict
