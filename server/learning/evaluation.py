"""Errors of a model's past predictions, one by one, and predictions by a copy of the model."""

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection

from server.core.errors import Conflict
from server.core.json_codec import loads
from server.learning import inspection, registry
from server.learning.budgets import call_marks
from server.learning.concurrency.time_limit import TimeLimit
from server.learning.fold import flavors
from server.learning.fold.estimator_errors import FATAL
from server.learning.fold.plain_values import number
from server.learning.fold.replica import Replica
from server.learning.models import Model

ONE_SIGMA = math.erf(math.sqrt(0.5))
"""Level of the interval of one standard deviation to either side of a normal distribution: 0.6827."""

_READ = (
    "SELECT last, count, ys, predictions FROM streams_batch"
    " WHERE stream_id = %s AND last > %s AND predictions IS NOT NULL ORDER BY last LIMIT 50"
)


@dataclass(frozen=True)
class Estimate:
    """A prediction for one point and its standard deviation (None if the model gives none)."""

    prediction: float
    std: float | None


class ModelCopy:
    """A copy of a regression model after observation :attr:`at`, for many predictions while the model goes on learning."""

    def __init__(self, model: Model, replica: Replica) -> None:
        self.at = replica.n
        self._model_id, self._name = model.pk, model.name
        self._limit = TimeLimit()
        self.since = model.since
        self._estimator = copy.deepcopy(replica.estimator)
        self._predicting, self._owner_id = replica.predicting, replica.owner_id
        self._predict = flavors.get(model.flavor).predictor(self._estimator)
        self._std = _std_of(self._estimator)

    def estimate(self, x: dict[str, Any]) -> Estimate | None:
        """Return the estimate for a point; None if the model raises an error or its prediction isn't a finite number.

        Raises
        ------
        TooSlow, Busy
            If the predictions take longer than a model may take for one request.
        """
        if self._limit.is_over:
            raise self._limit.error(self._name, "so many points", ": send fewer points")
        try:
            with self._turn(len(x)), call_marks.mark_call(self._model_id, call_marks.PREDICT):
                prediction = number(self._predict(x.copy()))
            std = None
            if self._std is not None:
                with self._turn(len(x)), call_marks.mark_call(self._model_id, call_marks.PREDICT):
                    std = self._std(x.copy())
        except FATAL:
            raise
        except BaseException:  # whatever an estimator may raise
            return None
        if prediction is None or not math.isfinite(prediction):
            return None
        return Estimate(float(prediction), std if std is None or math.isfinite(std) else None)

    def _turn(self, features: int) -> AbstractContextManager[object]:
        """Return a context for one call: calls of a model that takes long go one at a time, as those of its replicas do."""
        known = self._predicting
        return nullcontext() if known.is_short and features <= known.features else known.turn(self._owner_id, features)


def _std_of(estimator: Any) -> Callable[[dict[str, Any]], float | None] | None:
    own = getattr(estimator, "predict_std_one", None)
    if own is not None:
        return lambda x: float(own(x))
    interval = getattr(estimator, "predict_interval_one", None)
    if interval is None:
        return None

    def half(x: dict[str, Any]) -> float | None:
        found = interval(x, ONE_SIGMA)
        return None if found is None else float(found[1] - found[0]) / 2

    return half


def model_copy(name: str, at: int | None = None) -> tuple[Model, ModelCopy]:
    """Return a regression model and a copy of it, as it is now or as of observation ``at``.

    Raises
    ------
    NotFound, Conflict, Unavailable, Invalid
        As :func:`server.learning.inspection.with_replica`. Conflict also for a model of another flavor.
    """
    model = registry.find(name)
    if model.flavor != "regression":
        raise Conflict(f"model {name} is a {model.flavor} model: expected a regression model")
    return model, inspection.with_replica(name, lambda replica: ModelCopy(model, replica), at)


def prequential_errors(model: Model, upto: int) -> np.ndarray:
    """Return the error of each prediction that the model made before it learned the observation, in the target's unit.

    The predictions are read from the log. A model that learned the stream's history later has none for that part.

    Returns
    -------
    ndarray
        Prediction minus target, indexed by observation number, shape (upto + 1,). NaN where there is no prediction.
    """
    found = np.full(upto + 1, np.nan)
    own = str(model.pk)
    after, has_begun = model.since, False
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_READ, (model.stream_id, after))
            rows = cursor.fetchall()
            for last, count, ys, predictions in rows:
                after = last
                values = loads(predictions).get(own)
                if values is None:
                    continue
                for seq, y, prediction in zip(range(last - count + 1, last + 1), loads(ys), values, strict=True):
                    if prediction is None or not model.since < seq <= upto:
                        continue
                    # As in the metrics, a prediction of 0 by a model that has learned nothing doesn't count.
                    if has_begun or prediction:
                        found[seq] = prediction - y
                    has_begun = True
            if len(rows) < 50:
                return found
