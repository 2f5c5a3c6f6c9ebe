"""Scores of predictions: pairs of predicted and actual times, and their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Scores", "Trial", "coverage", "rolling_mae", "scores"]


@dataclass(frozen=True)
class Trial:
    """A predicted and an actual time, in seconds.

    `interval` is None if the model gave none. `observation` is the number in the log, None if the job is not in the
    log.
    """

    actual: float
    predicted: float
    interval: tuple[float, float] | None = None
    observation: int | None = None

    @property
    def error(self) -> float:
        return abs(self.predicted - self.actual)


@dataclass(frozen=True)
class Scores:
    """Mean absolute error and root mean square error in the unit of the target; coefficient of determination."""

    n: int
    mae: float
    rmse: float
    r2: float

    @property
    def mse(self) -> float:
        """Mean square error, in the square of the unit."""
        return self.rmse**2


def scores(trials: Sequence[Trial]) -> Scores:
    """Return the scores of some trials. All are NaN without trials. R² is NaN if all actual values are equal."""
    n = len(trials)
    if n == 0:
        return Scores(0, math.nan, math.nan, math.nan)
    squares = math.fsum(trial.error**2 for trial in trials)
    mean = math.fsum(trial.actual for trial in trials) / n
    spread = math.fsum((trial.actual - mean) ** 2 for trial in trials)
    r2 = 1 - squares / spread if spread > 0 else math.nan
    return Scores(n, math.fsum(trial.error for trial in trials) / n, math.sqrt(squares / n), r2)


def rolling_mae(trials: Sequence[Trial], window: int) -> list[float]:
    """Return the mean absolute error of the latest `window` trials after each trial.

    At first, there are fewer trials.
    """
    errors = [trial.error for trial in trials]
    return [
        math.fsum(part) / len(part) for end in range(1, len(errors) + 1) if (part := errors[max(0, end - window) : end])
    ]


def coverage(trials: Sequence[Trial]) -> tuple[int, int]:
    """Return how many trials have their actual time inside their interval, and how many have an interval."""
    with_interval = [(trial.actual, trial.interval) for trial in trials if trial.interval is not None]
    return sum(low <= actual <= high for actual, (low, high) in with_interval), len(with_interval)
