"""Curves of all segments at once: errors over observations, in a few buckets for each segment."""

from dataclasses import dataclass

import numpy as np

from server.learning.records.columns import Columns

BUCKETS = 32


@dataclass(frozen=True)
class SegmentCurves:
    """Errors of each segment in each bucket of observations.

    Attributes
    ----------
    last
        The last observation of each bucket, shape (buckets,).
    segments
        Names of the segments.
    RMSE, mean, low, high
        Root of the mean square, mean, least and largest error, shape (segments, buckets), in the target's unit; NaN where
        nothing was scored. Of a classifier, the mean is the share of wrong labels.
    """

    last: np.ndarray
    segments: list[str]
    RMSE: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def of_columns(columns: Columns, buckets: int = BUCKETS) -> SegmentCurves:
    """Return the curves of all segments of these observations. It takes one pass, however many segments there are."""
    width = max(1, -(-len(columns) // buckets))
    count = -(-len(columns) // width)
    shape = len(columns.segments), count
    errors = columns.errors
    known = np.flatnonzero(~np.isnan(errors))
    error = errors[known]
    key = columns.values["segment"][known].astype(np.int64) * count + known // width
    scored = np.bincount(key, minlength=shape[0] * count)
    low, high = (np.full(shape[0] * count, np.nan) for _ in range(2))
    np.fmin.at(low, key, error)
    np.fmax.at(high, key, error)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        square = np.bincount(key, error**2, len(scored)) / scored
        mean = np.bincount(key, error, len(scored)) / scored
    last = columns.first - 1 + np.minimum(np.arange(1, count + 1) * width, len(columns))
    return SegmentCurves(
        last,
        columns.segments,
        np.sqrt(square).reshape(shape),
        mean.reshape(shape),
        low.reshape(shape),
        high.reshape(shape),
    )
