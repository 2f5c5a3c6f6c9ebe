"""`Follower`: errors, rolling error and drift alarms of one model, from observations in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from tailrace.optional_dependencies import require

__all__ = ["DRIFT", "Curve", "Follower", "Row", "error_of"]

DRIFT = "drift"
MOST_POINTS = 2000
"""Number of points at which a `Curve` drops every second one."""

_TRUTH = {"true": True, "false": False}


class Row(NamedTuple):
    """One observation, with the prediction and error of one model.

    Attributes
    ----------
    error, rolling_error
        Absolute error of the prediction that the model made before it learned the observation, and the mean over the
        latest errors, in `unit`. None if there is no error.
    alarm
        ``drift`` if drift is detected at this observation, otherwise empty.
    note
        Why there is no error, if there is none.
    """

    model: str
    stream: str
    seq: int
    at: str
    unit: str
    y: Any
    prediction: Any
    error: float | None
    rolling_error: float | None
    alarm: str
    note: str


class Curve:
    """Points of a curve of any length in constant memory: when the list is full, every second point is dropped."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self._stride = 1
        self._count = 0
        self._last: tuple[int, float] | None = None

    def add(self, n: int, value: float) -> None:
        """Add the value at observation `n`."""
        self._last = (n, value)
        if self._count % self._stride == 0:
            self.points.append(self._last)
            if len(self.points) >= MOST_POINTS:
                del self.points[1::2]
                self._stride *= 2
        self._count += 1

    def drawn(self) -> list[tuple[int, float]]:
        """Returns the kept points and the latest one."""
        if self._last is None or self.points[-1] == self._last:
            return list(self.points)
        return [*self.points, self._last]


class Follower:
    """Follows the errors of one model, observation by observation.

    Parameters
    ----------
    model, stream, unit
        Name of the model, its stream, and the unit of its errors.
    window
        Number of observations in the rolling error.
    since
        Number of the observation after which the model began to learn. An empty or zero prediction of the next
        observation does not count, because the model had learned nothing.
    after
        Number of the observation after which to follow the model.
    labels
        Whether the model predicts labels. Their error is 0 or 1.

    Raises
    ------
    MissingExtra
        If river is not installed.

    Attributes
    ----------
    last
        Number of the last observation processed.
    count
        Number of errors.
    rolling_error
        Mean of the latest `window` errors. None before the first.
    alarms
        Numbers of the observations at which drift was detected.
    curve
        The rolling error over the observations.
    """

    def __init__(
        self, model: str, stream: str, unit: str, window: int, *, since: int = 0, after: int = 0, labels: bool = False
    ) -> None:
        require("river")
        from tailrace.estimators.drift import DriftDetector

        self.model = model
        self.stream = stream
        self.unit = unit
        self.window = window
        self.since = since
        self.last = after
        self.count = 0
        self.rolling_error: float | None = None
        self.alarms: list[int] = []
        self.curve = Curve()
        self._recent: deque[float] = deque(maxlen=window)
        self._detector = DriftDetector(labels)

    def take(self, observation: Mapping[str, Any]) -> Row | None:
        """Process the next observation of the log, and return its row. None if the model did not process it.

        Parameters
        ----------
        observation
            An observation of the server's log, with ``predictions`` and ``errors`` by model.
        """
        seq = observation["seq"]
        self.last = seq
        refusal = observation.get("errors", {}).get(self.model)
        predictions = observation.get("predictions", {})
        if self.model not in predictions and refusal is None:
            return None
        y, prediction = observation["y"], predictions.get(self.model)
        error, note = None, ""
        if "retracted" in observation:
            note = f"retracted: {observation['retracted']['reason']}"
        elif refusal is not None:
            note = f"skipped: {refusal}"
        elif seq == self.since + 1 and not prediction:
            note = "nothing learned yet"
        else:
            error = error_of(y, prediction)
            note = "" if error is not None else "no prediction"
        alarm = self.learn(seq, error)
        return Row(
            self.model, self.stream, seq, observation["at"], self.unit, y, prediction, error,
            self.rolling_error if error is not None else None, DRIFT if alarm else "", note,
        )  # fmt: skip

    def learn(self, seq: int, error: float | None) -> bool:
        """Add the error of observation `seq`, and return whether drift is detected at it."""
        self.last = seq
        if error is None:
            return False
        self.count += 1
        self._recent.append(error)
        self.rolling_error = sum(self._recent) / len(self._recent)
        self.curve.add(seq, self.rolling_error)
        alarm = self._detector.learn(error)
        if alarm:
            self.alarms.append(seq)
        return alarm


def error_of(y: Any, prediction: Any) -> float | None:
    """Returns the absolute error of one prediction.

    Parameters
    ----------
    y
        The actual target: a number, a label or a boolean.
    prediction
        A number, a label, or a mapping of labels to probabilities.

    Returns
    -------
    For numbers, ``|y - prediction|`` in the unit of the target. For labels, 0 if the most probable label is right, and
    otherwise 1. None if there is no prediction.
    """
    if prediction is None or y is None:
        return None
    if isinstance(prediction, dict):
        if not prediction:
            return None
        prediction = max(prediction, key=lambda label: prediction[label] or 0.0)
        return 0.0 if _same_label(prediction, y) else 1.0
    if _is_number(y) and _is_number(prediction):
        return abs(float(y) - float(prediction))
    return 0.0 if _same_label(prediction, y) else 1.0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_label(label: Any, y: Any) -> bool:
    # In JSON, keys are strings, and a boolean target may be 0 or 1.
    if isinstance(y, bool) or label in _TRUTH:
        return bool(_TRUTH.get(label, label)) == bool(y)
    return str(label) == str(y)
