"""What a record says of its model: errors by segment, and whether intervals hold what they promise."""

from typing import Any

import numpy as np

from server.learning.models import Model
from server.learning.records import reading
from server.learning.records.columns import LEVEL, QUANTILES, SCORED, SKIPPED, Columns, joined

MOST_SEGMENTS = 500
MOST_READ = 200_000
"""Most observations that are read for a table: the latest of a longer range."""


def latest(model: Model, first: int | None, last: int | None, most: int = MOST_READ) -> tuple[int, int]:
    """Return the latest ``most`` observations of a range, as the first and the last of them."""
    low, high = reading.chosen(reading.extent(model), first, last)
    return max(low, high - most + 1), high


def read(model: Model, first: int | None, last: int | None, most: int = MOST_READ) -> Columns | None:
    """Return the columns of the latest ``most`` recorded observations of a range; None if there is none."""
    low, high = latest(model, first, last, most)
    parts = list(reading.blocks(model, low, high))
    return joined(parts) if parts else None


def by_segment(columns: Columns) -> list[dict[str, Any]]:
    """Return each segment's metrics, the worst first.

    Returns
    -------
    list
        ``segment``, ``scored``, ``skipped``, ``MAE``, ``RMSE``, ``bias`` and ``covered`` (share of targets within the
        interval, None where there is none); the errors in the target's unit.
    """
    errors, segments = columns.errors, columns.values["segment"]
    within = _within(columns)
    known, banded, skipped = ~np.isnan(errors), ~np.isnan(within), columns.values["state"] == SKIPPED
    error, own, size = errors[known], segments[known], len(columns.segments)
    scored = np.bincount(own, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        table = {
            "scored": scored.tolist(),
            "skipped": np.bincount(segments[skipped], minlength=size).tolist(),
            "MAE": reading.listed(np.bincount(own, np.abs(error), size) / scored),
            "RMSE": reading.listed(np.sqrt(np.bincount(own, error**2, size) / scored)),
            "bias": reading.listed(np.bincount(own, error, size) / scored),
            "covered": reading.listed(
                np.bincount(segments[banded], within[banded], size) / np.bincount(segments[banded], minlength=size)
            ),
        }
    found = [
        {"segment": name, **{what: column[index] for what, column in table.items()}}
        for index, name in enumerate(columns.segments)
    ]
    return sorted(found, key=lambda row: -(row["RMSE"] or 0.0))[:MOST_SEGMENTS]


def _within(columns: Columns) -> np.ndarray:
    """1 where the target is within the interval, 0 where it isn't, NaN where there is none."""
    lower, upper, y = (columns.values.get(name) for name in ("lower", "upper", "y"))
    if lower is None or upper is None or y is None:
        return np.full(len(columns), np.nan)
    return np.where(np.isnan(lower) | np.isnan(columns.errors), np.nan, (lower <= y) & (y <= upper))


def levels(columns: Columns) -> list[dict[str, Any]]:
    """Return how often targets were within each bound, beside the probability that the model gave.

    Returns
    -------
    list
        ``bound`` (its name), ``nominal``, ``observed``, ``low`` and ``high`` (a 95 % interval of the observed share, by
        Wilson's formula: E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)), ``count``, and ``width``: the mean width of
        the interval, or the mean distance of an upper bound from the prediction, in the target's unit.
    """
    scored = columns.values["state"] == SCORED
    y, prediction = columns.values["y"], columns.values["prediction"]
    found = []
    lower, upper = columns.values.get("lower"), columns.values.get("upper")
    if lower is not None and upper is not None:
        known = scored & ~np.isnan(lower)
        inside = (lower <= y) & (y <= upper)
        found.append(_level("interval", LEVEL, inside[known], (upper - lower)[known]))
    for name, nominal in QUANTILES.items():
        bound = columns.values.get(name)
        if bound is not None:
            known = scored & ~np.isnan(bound)
            found.append(_level(name, nominal, (y <= bound)[known], (bound - prediction)[known]))
    return [level for level in found if level["count"]]


def _level(name: str, nominal: float, inside: np.ndarray, width: np.ndarray) -> dict[str, Any]:
    count = len(inside)
    if not count:
        return {"bound": name, "count": 0}
    share, z = float(inside.mean()), 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return {
        "bound": name,
        "nominal": nominal,
        "observed": share,
        "low": max(0.0, float(middle - half)),
        "high": min(1.0, float(middle + half)),
        "count": count,
        "width": float(width.mean()),
    }


def scatter(columns: Columns, most: int = 2000) -> dict[str, Any]:
    """Return predicted and actual values of scored observations, for a chart.

    Returns
    -------
    dict
        ``n``, ``y``, ``prediction``, ``error``, ``segment``, and ``of``: how many observations these were chosen from. If
        there are more than ``most``, the tenth with the largest errors are among them, and the rest are evenly spaced.
    """
    errors = columns.errors
    scored = np.flatnonzero(~np.isnan(errors))
    chosen = scored
    if len(scored) > most:
        extreme = scored[np.argsort(-np.abs(errors[scored]), kind="stable")[: most // 10]]
        spaced = scored[np.linspace(0, len(scored) - 1, most - len(extreme)).astype(int)]
        chosen = np.unique(np.concatenate([extreme, spaced]))
    names = columns.segments
    return {
        "n": (columns.first + chosen).tolist(),
        "y": columns.values["y"][chosen].tolist(),
        "prediction": columns.values["prediction"][chosen].tolist(),
        "error": errors[chosen].tolist(),
        "segment": [names[index] for index in columns.values["segment"][chosen]] if names else [],
        "of": len(scored),
    }
