"""Prediction intervals that are calibrated by the errors that were made."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from statistics import NormalDist

import numpy as np

__all__ = ["ErrorCalibrator"]

_NORMAL = NormalDist()
_LEVELS = (0.025, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.975)
_GAIN = 0.3
_EDGE = 1e-4
_PRIOR_SCORES = tuple(1.5 * _NORMAL.inv_cdf((i + 0.5) / 12) for i in range(12))
# Scores of a model that has learned little have heavier tails than its spread says. These stand beside the first ones seen ...
_EARLY_SCORES = tuple(2.0 * _NORMAL.inv_cdf((i + 0.5) / 12) for i in range(12))
# ... and count less with each observation, until there are enough without them.
_ENOUGH = 80


class ErrorCalibrator:
    """Turn past errors into quantiles of the next one.

    An error's *spread* is learned as a straight line in the prediction, ``a + b·prediction`` (seconds; both
    coefficients at least zero), since the noise of a run time grows with the time. Errors divided by their
    spread are *scores*, and quantiles of the latest scores are those of the next one, whatever their
    distribution (split conformal prediction on a moving window). As the errors of a model that learns are not
    exchangeable, the level that is looked up is itself steered by feedback: it rises after each miss and falls
    after each hit, so that the long-run share of hits is the nominal one whatever the data do (adaptive
    conformal inference).

    Few scores say little of the tails. Until there are 80, wide prior scores stand beside them, and a quantile is multiplied by

        1 + w·(t(q, n - 2) / z(q) · √(1 + 1/n) - 1),

    the ratio of the prediction limits for one more normal observation with its variance estimated from n errors (two degrees
    of freedom are the spread's line) and with its variance known. The weight w falls from 1 at 12 scores to 0 at 80, as that of
    the prior scores does. None of it is learned: what is stored, and the feedback, are of the plain scores.

    Parameters
    ----------
    window
        Number of the latest scores that are kept.

    References
    ----------
    [^1]: Vovk, Gammerman and Shafer (2005), *Algorithmic Learning in a Random World*.
    [^2]: Gibbs and Candès (2021), *Adaptive Conformal Inference Under Distribution Shift*, equation 2.
    [^3]: Hahn and Meeker (1991), *Statistical Intervals*, section 4.7 (prediction limits of a normal distribution).
    [^4]: Abramowitz and Stegun (1964), *Handbook of Mathematical Functions*, 26.7.5 (Student's quantile by the normal one).
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.recent: deque[float] = deque(_PRIOR_SCORES)
        self.ordered: list[float] = sorted(_PRIOR_SCORES)
        self.seen = 0
        # The level that is looked up for each nominal one of _LEVELS.
        self.levels = list(_LEVELS)
        # Sums of 1, p, p², |e|, p|e| with weight 1/p², decayed.
        self.sums = [0.0, 0.0, 0.0, 0.0, 0.0]

    def spread(self, prediction: float, leverage: float) -> float:
        """Return the expected magnitude of the error of ``prediction`` (both in seconds).

        ``leverage`` is the uncertainty of the mean in units of the noise's variance, and widens the spread.
        """
        base, growth = self._line()
        floor = 1e-6 * prediction + 1e-12
        return max((base + growth * prediction) * (1.0 + min(leverage, 1e6)) ** 0.5, floor)

    def spreads(self, predictions: np.ndarray, leverages: np.ndarray) -> np.ndarray:
        """Return `spread` for many, bit for bit; all of shape (n,)."""
        base, growth = self._line()
        floor = 1e-6 * predictions + 1e-12
        # Python's power, whose last bit may be another than that of a square root.
        widths = np.array([value**0.5 for value in (1.0 + np.minimum(leverages, 1e6)).tolist()])
        return np.maximum((base + growth * predictions) * widths, floor)

    def _line(self) -> tuple[float, float]:
        """Return the spread at a prediction of 0 s, and its growth with the prediction."""
        weight, p, pp, e, pe = self.sums
        # A prior worth two observations of a 30 % error keeps the first intervals honest.
        pp += 2.0
        pe += 0.6
        determinant = weight * pp - p * p
        base, growth = 0.0, pe / pp
        if self.seen >= 10 and determinant > 1e-9 * weight * pp:
            base = (e * pp - pe * p) / determinant
            growth = (weight * pe - p * e) / determinant
            if base < 0.0:
                base, growth = 0.0, pe / pp
            elif growth < 0.0:
                base, growth = e / weight, 0.0
        return base, growth

    def learn(self, prediction: float, leverage: float, y: float) -> None:
        """Learn that the time ``y`` was observed where ``prediction`` had been predicted (seconds)."""
        error = y - prediction
        score = error / self.spread(prediction, leverage)
        score = min(max(score, -1e6), 1e6)
        if self.seen >= len(_PRIOR_SCORES):
            for i, nominal in enumerate(_LEVELS):
                hit = score <= self._empirical(self.levels[i])
                steered = self.levels[i] + _GAIN * min(nominal, 1.0 - nominal) * (nominal - hit)
                self.levels[i] = min(max(steered, _EDGE), 1.0 - _EDGE)
        # The first scores were prior; each observation takes the place of one.
        if self.seen < len(_PRIOR_SCORES) or len(self.recent) >= self.window:
            oldest = self.recent.popleft()
            del self.ordered[bisect_left(self.ordered, oldest)]
        self.recent.append(score)
        insort(self.ordered, score)
        self.seen += 1
        p = max(prediction, 1e-9)
        size = abs(error) / (1.0 + min(leverage, 1e6)) ** 0.5
        keep = 1.0 - 1.0 / min(self.seen + 1, self.window)
        keep = keep if self.seen > self.window else 1.0
        weight = 1.0 / (p * p)
        additions = (weight, 1.0 / p, 1.0, size * weight, size / p)
        for i, addition in enumerate(additions):
            self.sums[i] = self.sums[i] * keep + addition

    def quantile(self, q: float) -> float:
        """Return the ``q``-quantile of the next score, 0 < q < 1."""
        right = bisect_right(_LEVELS, q)
        if right == 0:
            level = q * self.levels[0] / _LEVELS[0]
        elif right == len(_LEVELS):
            level = 1.0 - (1.0 - q) * (1.0 - max(self.levels)) / (1.0 - _LEVELS[-1])
        else:
            # Levels are steered one by one: keep them in order.
            low, high = max(self.levels[:right]), max(self.levels[: right + 1])
            left, width = _LEVELS[right - 1], _LEVELS[right] - _LEVELS[right - 1]
            level = low + (high - low) * (q - left) / width
        level = min(max(level, _EDGE), 1.0 - _EDGE)
        if len(_PRIOR_SCORES) <= self.seen < _ENOUGH:
            return self._early(level, q)
        return self._empirical(level)

    def _early(self, level: float, q: float) -> float:
        """Return the quantile at ``level`` of few scores, for the nominal ``q``: widened as the class describes."""
        n = len(self.ordered)
        weight = (_ENOUGH - self.seen) / (_ENOUGH - len(_PRIOR_SCORES))
        weighed = sorted([(score, 1.0) for score in self.ordered] + [(score, weight) for score in _EARLY_SCORES])
        total = n + weight * len(_EARLY_SCORES) + 1.0
        # A score's level is the weight before it, half of its own, and half of the next one's, which is 1.
        before = 0.0
        levels = []
        for _, own in weighed:
            levels.append((before + 0.5 * own + 0.5) / total)
            before += own
        right = bisect_right(levels, level)
        if right == 0 or right == len(levels):
            end = 0 if right == 0 else -1
            score = _stretched(weighed[end][0], levels[end], level)
        else:
            low, high = weighed[right - 1][0], weighed[right][0]
            score = low + (high - low) * (level - levels[right - 1]) / (levels[right] - levels[right - 1])
        z = _NORMAL.inv_cdf(q)
        if score * z <= 0.0:
            return score
        return score * (1.0 + weight * (_student_by_normal(z, n - 2) * (1.0 + 1.0 / n) ** 0.5 - 1.0))

    def _empirical(self, q: float) -> float:
        """Return the ``q``-quantile of a score, 0 < q < 1, with the correction for a finite sample."""
        scores = self.ordered
        n = len(scores)
        position = q * (n + 1) - 1.0
        if position < 0.0 or position > n - 1:
            edge, level = (scores[0], 1 / (n + 1)) if position < 0.0 else (scores[-1], n / (n + 1))
            return _stretched(edge, level, q)
        low = int(position)
        high = min(low + 1, n - 1)
        return scores[low] + (scores[high] - scores[low]) * (position - low)


def _stretched(edge: float, level: float, q: float) -> float:
    """Stretch the extreme score ``edge``, of ``level``, to ``q`` beyond it as the tail of a normal law would."""
    factor = _NORMAL.inv_cdf(q) / _NORMAL.inv_cdf(level)
    return edge + abs(edge) * (factor - 1.0) * (-1.0 if q < level else 1.0)


def _student_by_normal(z: float, degrees: int) -> float:
    """Return Student's quantile divided by the normal one, ``z``, of the same probability: within 0.1 % from 10 degrees on."""
    zz = z * z
    return (
        1.0
        + (zz + 1.0) / (4.0 * degrees)
        + ((5.0 * zz + 16.0) * zz + 3.0) / (96.0 * degrees**2)
        + (((3.0 * zz + 19.0) * zz + 17.0) * zz - 15.0) / (384.0 * degrees**3)
    )
