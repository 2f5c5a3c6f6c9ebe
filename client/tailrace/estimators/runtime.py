"""`RuntimeRegressor`: how long will this job run?"""

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

# Squared errors, relative to the mean time, that the experts are trusted with before any evidence.
_PRIOR_LOSSES = (0.05, 0.3, 1.0)
# The weights follow about the latest eighth of the observations, between 2 and 100 of them ...
_LOSS_SHARE = 8.0
_LOSS_MEMORY = 100.0
# ... and fall with this power of the loss.
_SHARPNESS = 2.5
# Errors beyond this many spreads count as hiccups of the machine and pull no harder than one at the limit.
_HICCUP = 3.0
_LOG_HICCUP = 0.5
# Observations before spreads are known well enough to weigh by them.
_WARM_UP = 10
_TINY = 1e-9


class RuntimeRegressor(base.Regressor):
    """Run time of a parallel job in seconds, with a calibrated interval.

    Three experts learn from each observation, and a prediction is their mean, weighted by how small their
    latest squared errors are:

    - a *power law*: Bayesian regression of the logarithm of the time on the logarithms of the features, whose
      prior says that time grows with the size and the steps and falls with the processes. It is sensible after
      one observation;
    - a *compact* additive law: products of sizes such as ``x``, ``y``, ``z``, ``x·y``, ``x·y·z`` (times steps
      by processes), the shape of the box, and overheads;
    - a *full* one: also powers and logarithms, up to the given degree, without the shape.

    Features are recognized by name. ``steps`` (or nsteps, timesteps …) multiply the work; ``processes`` (or
    nprocs, ntasks, ranks …), or else ``nodes``, times ``threads`` divide it. Any other number is a size; those
    named ``x, y, z, nx, ny, nz, atoms …`` are expected to increase the time. Strings and booleans are labels:
    each label, and each combination of labels, gets a factor of its own, as far as there is room (16 labels and
    16 combinations). A feature that isn't given, is ``None`` or isn't finite counts as the first value seen of
    it. Features may appear and vanish at any time.

    Parameters
    ----------
    degree
        Highest degree of the products of sizes, at least 1.
    memory
        Effective number of observations remembered, at least 64, or 0 to remember all alike. A machine that
        changes is followed within about this many observations.
    max_terms
        Highest number of products, which bounds the cost of an observation, O(max_terms²).
    window
        Number of the latest errors that the interval is calibrated on, at least 20.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or (from `learn_one`) if a time is negative or not finite.

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
        self._weights = self._weigh()
        self._count = 0
        self._mean = 0.0
        self._shortest = math.inf
        self._longest = 0.0

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn that a job with the features ``x`` ran for ``y`` seconds."""
        y = float(y)
        if not 0.0 <= y < math.inf:
            raise ValueError(f"a run time is a finite number of seconds, at least 0; got {y!r}")
        columns = None
        weight, limit, log_limit = 1.0, math.inf, math.inf
        if self._count:
            columns = self._columns(x)
            times = self._ask(columns)
            mixed = self._mix(times)
            if self._count >= _WARM_UP:
                spread = self._calibrator.spread(mixed, 0.0)
                weight = min(max(self._calibrator.spread(self._mean, 0.0) / spread, 1e-3), 1e3)
                limit, log_limit = _HICCUP * spread, _LOG_HICCUP
            self._calibrator.learn(mixed, self._compact.leverage(columns[1]), y)
            self._judge(times, y)
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
        """Return the expected run time in seconds, at least 0; 0 before anything was learned."""
        if not self._count:
            return 0.0
        return self._mix(self._ask(self._columns(x)))

    def predict_quantile_one(self, x: dict[Any, Any], q: float) -> float:
        """Return the time in seconds within which such a job ends with probability ``q``.

        Parameters
        ----------
        x
            The job's features.
        q
            Probability, 0 < q < 1.

        Raises
        ------
        ValueError
            If ``q`` isn't between 0 and 1.
        """
        _check_probability("q", q)
        if not self._count:
            return 0.0
        mixed, spread = self._locate(x)
        return max(0.0, mixed + spread * self._calibrator.quantile(q))

    def predict_interval_one(self, x: dict[Any, Any], level: float = 0.95) -> tuple[float, float]:
        """Return the central interval, in seconds, that holds the time with probability ``level``.

        The interval always holds the prediction. Half of ``1 - level`` lies below it and half above.

        Raises
        ------
        ValueError
            If ``level`` isn't between 0 and 1.
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
        """Predict many jobs at once, bit for bit as `predict_one` and `predict_interval_one` do.

        Parameters
        ----------
        xs
            The features of each job.
        level
            Of the intervals; None for none.

        Returns
        -------
        tuple
            The expected run times in seconds, and the intervals.

        Raises
        ------
        ValueError
            If ``level`` isn't between 0 and 1.
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

    def _ask(self, columns: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[float, float, float]:
        """Return each expert's time in seconds, kept within what the times seen make credible."""
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
        """Return the logarithms of the lowest and the highest credible time in seconds."""
        return math.log(self._shortest + _TINY) - 4.0, math.log(self._longest + _TINY) + 3.0

    def _mix(self, times: tuple[float, float, float]) -> float:
        a, b, c = self._weights
        return a * times[0] + b * times[1] + c * times[2]

    def _locate(self, x: dict[Any, Any]) -> tuple[float, float]:
        """Return the prediction and the expected magnitude of its error, in seconds."""
        columns = self._columns(x)
        mixed = self._mix(self._ask(columns))
        return mixed, self._calibrator.spread(mixed, self._compact.leverage(columns[1]))

    def _judge(self, times: tuple[float, float, float], y: float) -> None:
        scale = self._mean * (self._mean + y) + _TINY
        rate = 1.0 / min(2.0 + self._count / _LOSS_SHARE, _LOSS_MEMORY)
        for i, time in enumerate(times):
            self._losses[i] += (min((time - y) ** 2 / scale, 4.0) - self._losses[i]) * rate
        self._weights = self._weigh()

    def _weigh(self) -> list[float]:
        weights = [(loss + 1e-6) ** -_SHARPNESS for loss in self._losses]
        total = sum(weights)
        return [weight / total for weight in weights]

    def _grow(self, y: float) -> None:
        """Make room in the experts for columns that were added; ``y`` (seconds) sets the first level."""
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
    """Weight that keeps an error's pull at the limit (Huber's)."""
    return 1.0 if abs(error) <= limit else limit / abs(error)


def _check_probability(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} is a probability between 0 and 1, such as 0.95; got {value!r}")
