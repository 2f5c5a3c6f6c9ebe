"""`ErrorCalibrator`: prediction intervals that are calibrated with past errors."""

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
# At first, scores have heavier tails than their spread suggests. These prior scores are added to the observed ones, and
# their weight falls with each observation until it is 0 at `_ENOUGH` observations.
_EARLY_SCORES = tuple(2.0 * _NORMAL.inv_cdf((i + 0.5) / 12) for i in range(12))
_ENOUGH = 80


class ErrorCalibrator:
    """Computes quantiles of the next error from past errors.

    The *spread* of an error is a straight line in the prediction, ``a + b·prediction`` (seconds; both coefficients at
    least zero), because the noise of a run time grows with the time. The line is learned. An error divided by its
    spread is a *score*. The quantiles of the latest scores are used as those of the next score, for any distribution
    (split conformal prediction on a moving window [^1]).

    The errors of a model that learns are not exchangeable. So feedback adjusts the level that is looked up: it rises
    after each miss and falls after each hit. In the long run, the share of hits is the nominal level for any data
    (adaptive conformal inference [^2]).

    A few scores contain little information about the tails. With fewer than 80 scores, wide prior scores are added, and
    a quantile is multiplied by

        1 + w·(t(q, n - 2) / z(q) · √(1 + 1/n) - 1).

    This is the ratio of two prediction limits of the next normal observation [^3]: with the variance estimated from n
    errors (the line of the spread uses two degrees of freedom), and with a known variance. The weight w falls from 1 at
    12 scores to 0 at 80, like that of the prior scores. Both corrections apply to predictions only: the stored scores
    and the feedback do without them.

    Parameters
    ----------
    window
        Number of latest scores that are kept.

    References
    ----------
    [^1]: Vovk, Gammerman and Shafer (2005), *Algorithmic Learning in a Random World*.
    [^2]: Gibbs and Candès (2021), *Adaptive Conformal Inference Under Distribution Shift*, equation 2.
    [^3]: Hahn and Meeker (1991), *Statistical Intervals*, section 4.7 (prediction limits of a normal distribution).
    [^4]: Abramowitz and Stegun (1964), *Handbook of Mathematical Functions*, 26.7.5 (Student's quantile by the normal
    one).
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.recent: deque[float] = deque(_PRIOR_SCORES)
        self.ordered: list[float] = sorted(_PRIOR_SCORES)
        self.seen = 0
        # The level that is looked up for each nominal level in _LEVELS.
        self.levels = list(_LEVELS)
        # Sums of 1, p, p², |e|, p|e| with weight 1/p², decayed.
        self.sums = [0.0, 0.0, 0.0, 0.0, 0.0]

    def spread(self, prediction: float, leverage: float) -> float:
        """Return the expected magnitude of the error of ``prediction`` (both in seconds).

        ``leverage``, the variance of the mean in units of the noise's variance, makes the spread wider.
        """
        base, growth = self._line()
        floor = 1e-6 * prediction + 1e-12
        return max((base + growth * prediction) * (1.0 + min(leverage, 1e6)) ** 0.5, floor)

    def spreads(self, predictions: np.ndarray, leverages: np.ndarray) -> np.ndarray:
        """Return `spread` of many predictions, with the same bits. All arrays have shape (n,)."""
        base, growth = self._line()
        floor = 1e-6 * predictions + 1e-12
        # Python's power, as in `spread`. A square root may differ from it in the last bit.
        widths = np.array([value**0.5 for value in (1.0 + np.minimum(leverages, 1e6)).tolist()])
        return np.maximum((base + growth * predictions) * widths, floor)

    def _line(self) -> tuple[float, float]:
        """Return the spread at a prediction of 0 s, and its growth with the prediction."""
        weight, p, pp, e, pe = self.sums
        # A prior of two observations with an error of 30 %, so that the first intervals are not too narrow.
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
        """Learn from a predicted and an observed time (both in seconds)."""
        error = y - prediction
        score = error / self.spread(prediction, leverage)
        score = min(max(score, -1e6), 1e6)
        if self.seen >= len(_PRIOR_SCORES):
            for i, nominal in enumerate(_LEVELS):
                hit = score <= self._empirical(self.levels[i])
                steered = self.levels[i] + _GAIN * min(nominal, 1.0 - nominal) * (nominal - hit)
                self.levels[i] = min(max(steered, _EDGE), 1.0 - _EDGE)
        # The first observations replace the prior scores, one by one.
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
            # Each level is adjusted on its own, so they may be out of order.
            low, high = max(self.levels[:right]), max(self.levels[: right + 1])
            left, width = _LEVELS[right - 1], _LEVELS[right] - _LEVELS[right - 1]
            level = low + (high - low) * (q - left) / width
        level = min(max(level, _EDGE), 1.0 - _EDGE)
        if len(_PRIOR_SCORES) <= self.seen < _ENOUGH:
            return self._early(level, q)
        return self._empirical(level)

    def _early(self, level: float, q: float) -> float:
        """Return the quantile at ``level`` of few scores, for the nominal ``q``, widened as the class describes."""
        n = len(self.ordered)
        weight = (_ENOUGH - self.seen) / (_ENOUGH - len(_PRIOR_SCORES))
        weighed = sorted([(score, 1.0) for score in self.ordered] + [(score, weight) for score in _EARLY_SCORES])
        total = n + weight * len(_EARLY_SCORES) + 1.0
        # The level of a score is the weight of all scores before it, half of its own weight, and ½ for the next score.
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
        """Return the ``q``-quantile of the stored scores, 0 < q < 1, corrected for the finite sample."""
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
    """Extrapolate from the extreme score ``edge`` at ``level`` to ``q``, like the tail of a normal distribution."""
    factor = _NORMAL.inv_cdf(q) / _NORMAL.inv_cdf(level)
    return edge + abs(edge) * (factor - 1.0) * (-1.0 if q < level else 1.0)


def _student_by_normal(z: float, degrees: int) -> float:
    """Return Student's quantile divided by the normal quantile ``z`` of the same probability.

    The error is below 0.1 % from 10 degrees of freedom on. The source is reference 4 of `ErrorCalibrator`.
    """
    zz = z * z
    return (
        1.0
        + (zz + 1.0) / (4.0 * degrees)
        + ((5.0 * zz + 16.0) * zz + 3.0) / (96.0 * degrees**2)
        + (((3.0 * zz + 19.0) * zz + 17.0) * zz - 15.0) / (384.0 * degrees**3)
    )
