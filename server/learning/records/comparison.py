"""Comparison of models over the same observations: those that all of them scored."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from server.core.errors import Invalid
from server.learning.models import Model
from server.learning.records import calibration, reading
from server.learning.records.columns import Columns, joined

MOST_MODELS = 12
BLOCKS = 400
"""Most blocks of consecutive observations that the bootstrap draws. Errors of neighbours resemble each other, so single
observations would make the interval too narrow."""

RESAMPLES = 2000


def compare(models: Sequence[Model], first: int | None, last: int | None, buckets: int = 200) -> dict[str, Any]:
    """Compare models of one stream.

    Parameters
    ----------
    models
        At least one, with their stream loaded.
    first, last
        Range of observations; the latest 200,000 of it are read.
    buckets
        Most points of each curve.

    Returns
    -------
    dict
        ``first``, ``last``, ``common`` (observations that all models scored), ``models``: for each ``model``, ``MAE``,
        ``RMSE``, ``bias``, ``wins`` (share of observations with the smallest error; a tie counts for each),
        ``difference`` (mean of its absolute error minus that of the best model) with ``low`` and ``high`` (95 % bootstrap
        interval over blocks), ``best``; ``segments``: wins by segment; ``curves``: ``n`` and by model the RMSE.

    Raises
    ------
    Invalid
        If the models are of different streams, or too many.
    """
    if len(models) > MOST_MODELS:
        raise Invalid(f"{len(models)} models are chosen: at most {MOST_MODELS} can be compared", field="model")
    if len({model.stream_id for model in models}) > 1:
        streams = ", ".join(sorted({model.stream.name for model in models}))
        raise Invalid(f"these models are of different streams ({streams}): choose models of one stream", field="model")
    known = [reading.extent(model) for model in models]
    low = max(extent.first for extent in known)
    high = min(extent.last for extent in known)
    low, high = max(low, first or low), min(high, last or high)
    low = max(low, high - calibration.MOST_READ + 1)
    found: dict[str, Any] = {"first": low, "last": high, "common": 0, "models": [], "segments": [], "curves": {"n": []}}
    columns = [_columns(model, low, high) for model in models] if low <= high else []
    if not columns or any(one is None for one in columns):
        return found
    whole = [one for one in columns if one is not None]
    errors = np.abs(np.array([one.errors for one in whole]))
    common = ~np.isnan(errors).any(axis=0)
    found["common"] = int(common.sum())
    if not found["common"]:
        return found
    scored = errors[:, common]
    signed = np.array([one.errors[common] for one in whole])
    best = int(np.argmin(np.sqrt((scored**2).mean(axis=1))))
    wins = scored == scored.min(axis=0)
    for index, model in enumerate(models):
        found["models"].append(
            {
                "model": model.name,
                "MAE": float(scored[index].mean()),
                "RMSE": float(np.sqrt((scored[index] ** 2).mean())),
                "bias": float(signed[index].mean()),
                "wins": float(wins[index].mean()),
                "best": index == best,
                **_difference(scored[index] - scored[best]),
            }
        )
    found["segments"] = _segments(whole[0], common, wins, scored, models)
    found["curves"] = _curves(low, np.flatnonzero(common), scored, models, buckets)
    return found


def _columns(model: Model, low: int, high: int) -> Columns | None:
    parts = list(reading.blocks(model, low, high, ("state", "y", "prediction", "segment")))
    return joined(parts) if parts else None


def _difference(differences: np.ndarray) -> dict[str, float | None]:
    mean = float(differences.mean())
    size = max(1, -(-len(differences) // BLOCKS))
    edges = np.arange(0, len(differences), size)
    means = np.add.reduceat(differences, edges) / np.diff(np.append(edges, len(differences)))
    if len(means) < 10 or not means.any():
        return {"difference": mean, "low": None if means.any() else 0.0, "high": None if means.any() else 0.0}
    interval = stats.bootstrap(
        (means,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    return {"difference": mean, "low": float(interval.low), "high": float(interval.high)}


def _segments(
    columns: Columns, common: np.ndarray, wins: np.ndarray, scored: np.ndarray, models: Sequence[Model]
) -> list[dict[str, Any]]:
    indexes = columns.values["segment"][common]
    size = len(columns.segments)
    counts = np.bincount(indexes, minlength=size)
    won = [np.bincount(indexes, row, size) for row in wins]
    squares = [np.bincount(indexes, row**2, size) for row in scored]
    found: list[dict[str, Any]] = [
        {
            "segment": name,
            "count": int(counts[index]),
            "wins": {model.name: float(own[index] / counts[index]) for model, own in zip(models, won, strict=True)},
            "RMSE": {
                model.name: float(np.sqrt(own[index] / counts[index]))
                for model, own in zip(models, squares, strict=True)
            },
        }
        for index, name in enumerate(columns.segments)
        if counts[index]
    ]
    return sorted(found, key=lambda row: -row["count"])[: calibration.MOST_SEGMENTS]


def _curves(low: int, offsets: np.ndarray, scored: np.ndarray, models: Sequence[Model], buckets: int) -> dict[str, Any]:
    size = max(1, -(-len(offsets) // buckets))
    edges = np.arange(0, len(offsets), size)
    counts = np.diff(np.append(edges, len(offsets)))
    curves: dict[str, Any] = {"n": (low + offsets[np.append(edges[1:], len(offsets)) - 1]).tolist()}
    curves["per_bucket"] = size
    curves["RMSE"] = {
        model.name: np.sqrt(np.add.reduceat(scored[row] ** 2, edges) / counts).tolist()
        for row, model in enumerate(models)
    }
    return curves
