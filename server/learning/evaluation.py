"""What a model's predictions were worth, one by one, and what it says of points that it is asked about now."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection

from server.learning import call_marks, flavors, inspection, registry
from server.learning.models import Model
from server.learning.predictions import number
from server.learning.replica import FATAL, Replica
from server.learning.time_limit import TimeLimit
from server.streams.codec import loads
from server.streams.errors import Conflict

ONE_SIGMA = math.erf(math.sqrt(0.5))
"""The level of an interval of one standard deviation to either side, where the distribution is normal: 0.6827."""

_READ = (
    "SELECT last, count, ys, predictions FROM streams_batch"
    " WHERE stream_id = %s AND last > %s AND predictions IS NOT NULL ORDER BY last LIMIT 50"
)


@dataclass(frozen=True)
class Opinion:
    """What a model says of one point: its prediction and the standard deviation of it, None where it gives none."""

    prediction: float
    std: float | None


class Asked:
    """A regression model as it is after observation :attr:`at`, to be asked at leisure while the model learns on."""

    def __init__(self, model: Model, replica: Replica) -> None:
        self.at = replica.n
        self._model_id, self._name = model.pk, model.name
        self._limit = TimeLimit()
        self.since = model.since
        self._estimator = copy.deepcopy(replica.estimator)
        self._predict = flavors.get(model.flavor).predictor(self._estimator)
        self._std = _std_of(self._estimator)

    def about(self, x: dict[str, Any]) -> Opinion | None:
        """Its opinion of a point; None where it refuses it, or says nothing that is a finite number.

        Raises
        ------
        TooSlow, Busy
            If it has been asked for longer than a model may take for one request.
        """
        if self._limit.is_over:
            raise self._limit.error(self._name, "so many points", ": ask about fewer")
        try:
            with call_marks.inside(self._model_id, call_marks.PREDICT):
                prediction = number(self._predict(x.copy()))
            with call_marks.inside(self._model_id, call_marks.PREDICT):
                std = None if self._std is None else self._std(x.copy())
        except FATAL:
            raise
        except BaseException:  # whatever an estimator may raise
            return None
        if prediction is None or not math.isfinite(prediction):
            return None
        return Opinion(float(prediction), std if std is None or math.isfinite(std) else None)


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


def asked(name: str) -> tuple[Model, Asked]:
    """A regression model, to be asked about many points.

    Raises
    ------
    NotFound, Conflict, Unavailable
        As :func:`server.learning.asking.find`; Conflict also for a model of another flavor.
    """
    model = registry.find(name)
    if model.flavor != "regression":
        raise Conflict(f"model {name} is a {model.flavor} model, and only regression has errors in the target's unit")
    return model, inspection.with_replica(name, lambda replica: Asked(model, replica))


def prequential_errors(model: Model, upto: int) -> np.ndarray:
    """What the model was wrong by, in the target's unit, when it had not learned the observation yet.

    Read from the log, so of predictions made at the time: a model that was made later and learned the stream's history has
    none for that.

    Returns
    -------
    ndarray
        Prediction minus target, shape (upto + 1,), at the observation's number; NaN where there is none.
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
                    # As in the metrics, a model that has learned nothing and says 0 has said nothing.
                    if has_begun or prediction:
                        found[seq] = prediction - y
                    has_begun = True
            if len(rows) < 50:
                return found
