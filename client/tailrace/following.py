"""Following one model: from observations, in order, to rows of error, rolling error and alarms."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from tailrace.drift import DriftDetector, error_of

__all__ = ["DRIFT", "Curve", "Follower", "Row"]

DRIFT = "drift"
MOST_POINTS = 2000


class Row(NamedTuple):
    """One observation as one model saw it.

    Attributes
    ----------
    error, rolling_error
        Absolute error of the prediction that was made before the observation was learned, and its mean over the
        latest observations with an error; in `unit`. None where there was no prediction.
    alarm
        ``drift`` where drift is found at this observation, else empty.
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
    """Points of a curve that never takes more memory: when it is full, every second one goes."""

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
        """The points that are kept, and the latest."""
        if self._last is None or self.points[-1] == self._last:
            return list(self.points)
        return [*self.points, self._last]


class Follower:
    """One model's error, observation by observation.

    Parameters
    ----------
    model, stream, unit
        Whose errors they are, and in which unit.
    window
        Number of observations in the rolling error.
    since
        The observation after which the model began to learn: what it says of the next one is no prediction.
    after
        The observation after which it is followed.
    labels
        Whether it predicts labels, whose error is 0 or 1.

    Attributes
    ----------
    last
        The last observation that was taken.
    count
        How many errors there were.
    rolling_error
        Mean absolute error of the latest `window` observations that have one; None before the first.
    alarms
        Observations at which drift was found.
    """

    def __init__(
        self, model: str, stream: str, unit: str, window: int, *, since: int = 0, after: int = 0, labels: bool = False
    ) -> None:
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
        """Take the next observation of the log; None where the model had no part in it.

        Parameters
        ----------
        observation
            As the server's log shows it, with ``predictions`` and ``errors`` by model.
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
            note = f"passed over: {refusal}"
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
        """Take the error of observation `seq`; say whether drift is found at it."""
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
