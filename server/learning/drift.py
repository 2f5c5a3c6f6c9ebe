"""Whether a model's error has risen for good, as it serves."""

from typing import Any

from river import drift, stats

WINDOW = 500
FEWEST = 30
# Tolerance and threshold of the test, for numbers and for labels, whose errors scatter more.
NUMBERS, LABELS = (0.06, 8.0), (0.1, 14.0)


class Detector:
    """River's Page-Hinkley test, upwards, with the settings of the client's ``tailrace watch``, which says why these.

    The error ``e`` of a number is taken as ``e / (e + m)``, where ``m`` is the median of the latest 500; that of a label,
    0 or 1, as it is. After an alarm the test begins anew.

    Parameters
    ----------
    labels
        Whether the errors are those of labels.
    """

    def __init__(self, *, labels: bool) -> None:
        tolerance, threshold = LABELS if labels else NUMBERS
        self._test = drift.PageHinkley(min_instances=FEWEST, delta=tolerance, threshold=threshold, alpha=1.0, mode="up")
        self._median: Any = None if labels else stats.RollingQuantile(0.5, WINDOW)
        self._is_first = True

    def learn(self, error: float) -> bool:
        """Take the next absolute error, at least 0, and say whether it is at this one that drift is found."""
        share = error
        if self._median is not None:
            median = error if self._is_first else self._median.get()
            share = error / (error + median) if error > 0 else 0.0
            self._median.update(error)
        self._is_first = False
        self._test.update(share)
        return bool(self._test.drift_detected)
