"""`RuntimeRegressor`: an estimator of the run time of jobs, with calibrated intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from river import base

from ._calibration import ErrorCalibrator
from ._ridge import RecursiveRidge
from ._runtime_columns import columns
from ._runtime_terms import RuntimeTerms

__all__ = ["RuntimeRegressor"]

# Squared errors of the experts relative to the mean time, assumed before the first observation.
_PRIOR_LOSSES = (0.05, 0.3, 1.0)
# The losses average over about the latest eighth of the observations, between 2 and 100 of them.
_LOSS_SHARE = 8.0
_LOSS_MEMORY = 100.0
# An expert's weight is proportional to its loss to the power of minus this.
_SHARPNESS = 2.5
# Errors larger than this count as outliers: their influence is limited to that of an error of this size. The first
# limit is in spreads, the second applies to the logarithm of the time.
_OUTLIER = 3.0
_LOG_OUTLIER = 0.5
# Number of observations after which the spread is known well enough to weight observations with it.
_WARM_UP = 10
_TINY = 1e-9


class RuntimeRegressor(base.Regressor):
    """Estimates the run time of a parallel job in seconds, with a calibrated interval.

    Three experts (models) learn from each observation. A prediction is the weighted mean of their predictions. The
    smaller the latest squared errors of an expert are, the larger its weight is. The experts are:

    - a *power law*: Bayesian regression [^1] of the logarithm of the time on the logarithms of the features. Its prior
      says that the time grows with the size and the steps, and falls with the processes. Its predictions are reasonable
      after one observation;
    - a *compact* additive model: products of sizes such as ``x``, ``y``, ``z``, ``x·y``, ``x·y·z`` (times steps,
      divided by processes), the shape of the box, and overheads;
    - a *full* additive model: also powers and logarithms, up to the given degree, but without the shape.

    The interval is computed from the latest errors [^2].

    Features are recognized by name. ``steps`` (or nsteps, timesteps …) multiply the work. ``processes`` (or nprocs,
    ntasks, ranks …; or ``nodes`` if there are none) and ``threads`` divide it. Any other number is a size. Sizes named
    ``x, y, z, nx, ny, nz, atoms …`` are expected to increase the time. Strings and booleans are labels. Each label and
    each combination of labels has its own factor, for up to 16 labels and 16 combinations. A feature that is missing,
    ``None`` or not finite counts as its first value. Features may appear and disappear at any time.

    Parameters
    ----------
    degree
        Highest degree of the products of sizes, at least 1.
    memory
        Effective number of observations remembered, at least 64, or 0 to remember all. The model adapts to a change of
        the machine within about this many observations.
    max_terms
        Largest number of products. Learning an observation costs O(max_terms²).
    window
        Number of latest errors from which the interval is calibrated, at least 20.

    Raises
    ------
    ValueError
        If a parameter is out of its range. By `learn_one`: if a time is negative or not finite.

    Examples
    --------
    >>> from tailrace.estimators import RuntimeRegressor

    >>> model = RuntimeRegressor()
    >>> for x in range(1, 21):
    ...     for processes in (1, 2, 4):
    ...         job = {"x": x, "y": 4, "z": 4, "processes": processes}
    ...         model.learn_one(job, 3.0 + 16 * x / processes)

    >>> round(model.predict_one({"x": 10, "y": 4, "z": 4, "processes": 2}))
    83
    >>> low, high = model.predict_interval_one({"x": 10, "y": 4, "z": 4, "processes": 2}, level=0.9)
    >>> low < 83 < high
    True

    References
    ----------
    [^1]: Bishop, *Pattern Recognition and Machine Learning*, section 3.3 (Bayesian linear regression).
    [^2]: Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World* (conformal prediction).
    """

    def __init__(self, degree: int = 3, memory: int = 5000, max_terms: int = 64, window: int = 500) -> None:
        if degree < 1 or max_terms < 1 or window < 20 or (memory != 0 and memory < 64):
            raise ValueError(
                "expected degree ≥ 1, max_terms ≥ 1, window ≥ 20 and memory 0 or ≥ 64, got "
                f"degree={degree!r}, max_terms={max_terms!r}, window={window!r}, memory={memory!r}"
            )
        self.degree = degree
        self.memory = memory
        self.max_terms = max_terms
        self.window = window
        self._terms = RuntimeTerms(degree, max_terms)
        self._power = RecursiveRidge(memory, adaptive=False)
        self._compact = RecursiveRidge(memory, adaptive=True)
        self._full = RecursiveRidge(memory, adaptive=True)
        self._compact_index = np.zeros(0, dtype=np.intp)
        self._full_index = np.zeros(0, dtype=np.intp)
        self._calibrator = ErrorCalibrator(window)
        self._losses = list(_PRIOR_LOSSES)
        self._weights = self._expert_weights()
        self._count = 0
        self._mean = 0.0
        self._shortest = math.inf
        self._longest = 0.0

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn a job with the features ``x`` and the run time ``y``, in seconds."""
        y = float(y)
        if not 0.0 <= y < math.inf:
            raise ValueError(f"a run time is a finite number of seconds, at least 0; got {y!r}")
        columns = None
        weight, limit, log_limit = 1.0, math.inf, math.inf
        if self._count:
            columns = self._columns(x)
            times = self._expert_times(columns)
            mixed = self._mix(times)
            if self._count >= _WARM_UP:
                spread = self._calibrator.spread(mixed, 0.0)
                weight = min(max(self._calibrator.spread(self._mean, 0.0) / spread, 1e-3), 1e3)
                limit, log_limit = _OUTLIER * spread, _LOG_OUTLIER
            self._calibrator.learn(mixed, self._compact.leverage(columns[1]), y)
            self._update_weights(times, y)
        if self._terms.admit(x):
            self._grow(y)
            columns = None
        power, compact, full = self._columns(x) if columns is None else columns
        self._count += 1
        self._mean += (y - self._mean) / min(self._count, 1000)
        self._shortest = min(self._shortest, y)
        self._longest = max(self._longest, y)
        logarithm = math.log(max(y, _TINY))
        self._power.learn(power, logarithm, _damp(logarithm - self._power.predict(power), log_limit))
        for expert, phi in ((self._compact, compact), (self._full, full)):
            expert.learn(phi, y, weight * _damp(y - expert.predict(phi), limit))

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the expected run time in seconds, at least 0. It is 0 before anything is learned."""
        if not self._count:
            return 0.0
        return self._mix(self._expert_times(self._columns(x)))

    def predict_quantile_one(self, x: dict[Any, Any], q: float) -> float:
        """Return the time in seconds within which a job ends with probability ``q``.

        Parameters
        ----------
        x
            Features of the job.
        q
            Probability, 0 < q < 1.

        Raises
        ------
        ValueError
            If ``q`` is not between 0 and 1.
        """
        _check_probability("q", q)
        if not self._count:
            return 0.0
        mixed, spread = self._locate(x)
        return max(0.0, mixed + spread * self._calibrator.quantile(q))

    def predict_quantiles_one(self, x: dict[Any, Any], qs: Sequence[float]) -> list[float]:
        """Return the same as `predict_quantile_one` for each probability of ``qs``, at the cost of one prediction."""
        for q in qs:
            _check_probability("q", q)
        if not self._count:
            return [0.0] * len(qs)
        mixed, spread = self._locate(x)
        return [max(0.0, mixed + spread * self._calibrator.quantile(q)) for q in qs]

    def predict_interval_one(self, x: dict[Any, Any], level: float = 0.95) -> tuple[float, float]:
        """Return the central interval, in seconds, that contains the time with probability ``level``.

        The time is below the interval with probability ``(1 - level)/2``, and above it with the same probability. The
        interval always contains the prediction.

        Raises
        ------
        ValueError
            If ``level`` is not between 0 and 1.
        """
        _check_probability("level", level)
        if not self._count:
            return 0.0, 0.0
        mixed, spread = self._locate(x)
        low = mixed + spread * self._calibrator.quantile((1.0 - level) / 2.0)
        high = mixed + spread * self._calibrator.quantile((1.0 + level) / 2.0)
        return max(0.0, min(low, mixed)), max(high, mixed)

    def predict_points(
        self, xs: Sequence[Mapping[Any, Any]], level: float | None = None
    ) -> tuple[list[float], list[tuple[float, float]] | None]:
        """Predict many jobs at once, with the same bits as `predict_one` and `predict_interval_one`.

        Parameters
        ----------
        xs
            Features of each job.
        level
            Probability of the intervals. None: no intervals.

        Returns
        -------
        tuple
            The expected run times in seconds, and the intervals ``(low, high)`` in seconds, or None.

        Raises
        ------
        ValueError
            If ``level`` is not between 0 and 1.
        """
        if level is not None:
            _check_probability("level", level)
        if not self._count:
            return [0.0] * len(xs), None if level is None else [(0.0, 0.0)] * len(xs)
        additive, power = columns(self._terms, xs)
        compact, full = additive.take(self._compact_index, axis=1), additive.take(self._full_index, axis=1)
        lowest, highest = self._log_bounds()
        logs = np.minimum(np.maximum(self._power.predict_many(power), lowest), highest)
        times = np.array([math.exp(logarithm) for logarithm in logs.tolist()])
        floor, ceiling = 0.5 * np.minimum(times, self._shortest), math.exp(highest)
        a, b, c = self._weights
        mixed = (
            a * times
            + b * np.minimum(np.maximum(self._compact.predict_many(compact), floor), ceiling)
            + c * np.minimum(np.maximum(self._full.predict_many(full), floor), ceiling)
        )
        if level is None:
            return mixed.tolist(), None
        spread = self._calibrator.spreads(mixed, self._compact.leverages(compact))
        low = mixed + spread * self._calibrator.quantile((1.0 - level) / 2.0)
        high = mixed + spread * self._calibrator.quantile((1.0 + level) / 2.0)
        both = np.column_stack((np.maximum(0.0, np.minimum(low, mixed)), np.maximum(high, mixed)))
        return mixed.tolist(), [(low, high) for low, high in both.tolist()]

    def _columns(self, x: dict[Any, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        additive, powers = self._terms.rows(x)
        row = np.array(additive)
        return np.array(powers), row[self._compact_index], row[self._full_index]

    def _expert_times(self, columns: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[float, float, float]:
        """Return each expert's time in seconds, limited to a credible range around the times seen so far."""
        power, compact, full = columns
        lowest, highest = self._log_bounds()
        time = math.exp(min(max(self._power.predict(power), lowest), highest))
        floor, ceiling = 0.5 * min(time, self._shortest), math.exp(highest)
        return (
            time,
            min(max(self._compact.predict(compact), floor), ceiling),
            min(max(self._full.predict(full), floor), ceiling),
        )

    def _log_bounds(self) -> tuple[float, float]:
        """Return the logarithms of the shortest and the longest credible time in seconds."""
        return math.log(self._shortest + _TINY) - 4.0, math.log(self._longest + _TINY) + 3.0

    def _mix(self, times: tuple[float, float, float]) -> float:
        a, b, c = self._weights
        return a * times[0] + b * times[1] + c * times[2]

    def _locate(self, x: dict[Any, Any]) -> tuple[float, float]:
        """Return the prediction and the expected magnitude of its error, in seconds."""
        columns = self._columns(x)
        mixed = self._mix(self._expert_times(columns))
        return mixed, self._calibrator.spread(mixed, self._compact.leverage(columns[1]))

    def _update_weights(self, times: tuple[float, float, float], y: float) -> None:
        """Update the experts' losses and weights from their times and the actual time ``y``, in seconds."""
        scale = self._mean * (self._mean + y) + _TINY
        rate = 1.0 / min(2.0 + self._count / _LOSS_SHARE, _LOSS_MEMORY)
        for i, time in enumerate(times):
            self._losses[i] += (min((time - y) ** 2 / scale, 4.0) - self._losses[i]) * rate
        self._weights = self._expert_weights()

    def _expert_weights(self) -> list[float]:
        weights = [(loss + 1e-6) ** -_SHARPNESS for loss in self._losses]
        total = sum(weights)
        return [weight / total for weight in weights]

    def _grow(self, y: float) -> None:
        """Add new columns to the experts. For the first ones, ``y`` (seconds) is the prior mean of the power law."""
        terms = self._terms
        for expert, index in ((self._compact, terms.compact), (self._full, terms.full)):
            penalties = [terms.penalties[i] for i in index[expert.size :]]
            expert.grow(penalties, [0.0] * len(penalties))
        self._compact_index = np.array(terms.compact, dtype=np.intp)
        self._full_index = np.array(terms.full, dtype=np.intp)
        means = terms.log_means[self._power.size :]
        if not self._power.size:
            means[0] = math.log(max(y, _TINY))
        self._power.grow(terms.log_penalties[self._power.size :], means)


def _damp(error: float, limit: float) -> float:
    """Return the weight that limits the influence of an error (Huber's weight)."""
    return 1.0 if abs(error) <= limit else limit / abs(error)


def _check_probability(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} is a probability between 0 and 1, such as 0.95; got {value!r}")
