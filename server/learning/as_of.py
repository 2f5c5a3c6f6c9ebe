"""Predictions as of an observation: by a model's state in the past, rebuilt from a snapshot and the log."""

from collections.abc import Sequence
from typing import Any

from server.core.errors import Unavailable
from server.core.validation import Checker
from server.learning import inspection
from server.learning.fold.replica import Replica
from server.learning.predictions import predict_points
from server.learning.predictions.predict_points import PredictionResult

_TRIES = 3


class _Moved(Exception):
    """The model has learned more observations since its state was asked for."""


def predict(
    name: Any,
    xs: Sequence[dict[str, Any]],
    at: int,
    *,
    checker: Checker,
    level: float | None = None,
    fields: Sequence[str] = ("x",),
    key: int | None = None,
) -> PredictionResult:
    """Predict points as the model would have after observation ``at``.

    Parameters
    ----------
    checker
        The checker of the model's stream.
    level
        The level of the prediction interval, in (0, 1); None for no interval.
    fields
        The name of each point in error messages.
    key
        The caller, as for :func:`server.learning.inspection.with_replica`.

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable, TooMany, TooSlow, Busy
        As :func:`server.learning.inspection.with_replica` and :func:`server.learning.predictions.predict_points.predict`.
    """
    for x, field in zip(xs, fields, strict=True):
        checker.x(x, field)

    def look(replica: Replica) -> PredictionResult:
        if replica.n != at:
            raise _Moved
        predictions, intervals = predict_points.estimate(replica, name, xs, level, fields)
        has_intervals = any(interval is not None for interval in intervals)
        return PredictionResult(replica.model_id, predictions, intervals if has_intervals else None, at)

    for _ in range(_TRIES):
        try:
            return inspection.with_replica(name, look, at, key)
        except _Moved:
            continue
    raise Unavailable(f"model {name} learned observations while its state after {at} was read; try again")
