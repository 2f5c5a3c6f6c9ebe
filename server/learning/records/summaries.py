"""Summaries of a record: least, largest, mean and last value of each :data:`GRANULE` observations.

Charts of long ranges are drawn from these, so a spike is never lost, and no chart reads more than a few megabytes.
"""

import numpy as np

from server.learning.records.columns import SCORED, SKIPPED, Columns

SEGMENT_GRANULE, LARGEST_SEGMENT_GRANULE = 512, 4096
"""Observations that one row of a block's summaries by segment stands for: the least that keeps to ``MOST_SEGMENT_ROWS``."""

MOST_SEGMENT_ROWS = 192
"""Most rows of a block's summaries by segment, so that they take a few bytes an observation."""

GRANULE = 128
"""Observations in one row of a block's summary."""

SERIES = ("y", "prediction", "error", "lower", "upper")
"""What is summarized."""

STATISTICS = ("min", "max", "mean", "last")
ROW = np.dtype(
    [
        ("count", "<u4"),
        ("scored", "<u4"),
        ("skipped", "<u4"),
        ("covered", "<u4"),
        ("banded", "<u4"),
        *((f"{name}_known", "<u4") for name in SERIES),
        ("at", "<f8"),
        ("absolute", "<f8"),
        ("square", "<f8"),
        *((f"{name}_{statistic}", "<f8") for name in SERIES for statistic in STATISTICS),
    ]
)
"""One summary. ``covered`` of ``banded`` observations were within their interval. ``at`` is the time of the last observation. ``…_known`` are the
observations that have a value. ``absolute`` and ``square`` are sums over the scored observations of the error's magnitude and square."""

SEGMENT_ROW = np.dtype([("segment", "<u2"), ("offset", "<u2"), ("summary", ROW)])
"""A summary of one segment's observations. ``offset`` is that of the last one in its block."""


def of_columns(columns: Columns, edges: np.ndarray) -> np.ndarray:
    """Return a summary of each bucket.

    Parameters
    ----------
    columns
        The observations.
    edges
        Offset of each bucket's first observation, ascending, shape (buckets,). The last bucket reaches to the end.

    Returns
    -------
    ndarray
        Of type :data:`ROW`, shape (buckets,).
    """
    rows = np.zeros(len(edges), ROW)
    size = len(columns)
    state, error = columns.values["state"], columns.errors
    ends = np.append(edges[1:], size)
    rows["count"] = ends - edges
    rows["scored"] = np.add.reduceat((state == SCORED).astype(np.int64), edges)
    rows["skipped"] = np.add.reduceat((state == SKIPPED).astype(np.int64), edges)
    rows["at"] = columns.values["at"][ends - 1]
    known = np.where(np.isnan(error), 0.0, error)
    rows["absolute"] = np.add.reduceat(np.abs(known), edges)
    with np.errstate(over="ignore"):
        rows["square"] = np.add.reduceat(known**2, edges)
    lower, upper, y = columns.values.get("lower"), columns.values.get("upper"), columns.values["y"]
    if lower is not None and upper is not None:
        banded = ~np.isnan(lower) & ~np.isnan(error)
        rows["banded"] = np.add.reduceat(banded.astype(np.int64), edges)
        rows["covered"] = np.add.reduceat((banded & (lower <= y) & (y <= upper)).astype(np.int64), edges)
    for name in SERIES:
        values = error if name == "error" else columns.values.get(name)
        if values is None or (columns.labels and name != "error"):
            values = np.full(size, np.nan)
        _describe(rows, name, values.astype(float), edges, ends)
    return rows


def _describe(rows: np.ndarray, name: str, values: np.ndarray, edges: np.ndarray, ends: np.ndarray) -> None:
    known = ~np.isnan(values)
    rows[f"{name}_min"] = np.fmin.reduceat(values, edges)
    rows[f"{name}_max"] = np.fmax.reduceat(values, edges)
    counts = np.add.reduceat(known.astype(np.int64), edges)
    rows[f"{name}_known"] = counts
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rows[f"{name}_mean"] = np.add.reduceat(np.where(known, values, 0.0), edges) / counts
    latest = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))[ends - 1]
    rows[f"{name}_last"] = np.where(latest >= edges, values[np.maximum(latest, 0)], np.nan)


def of_summaries(rows: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the summary of each bucket of summaries. ``edges`` has the offset of each bucket's first row."""
    if len(edges) == len(rows):
        return rows
    found = np.zeros(len(edges), ROW)
    ends = np.append(edges[1:], len(rows))
    for name in ("count", "scored", "skipped", "covered", "banded", "absolute", "square"):
        found[name] = np.add.reduceat(rows[name], edges)
    found["at"] = rows["at"][ends - 1]
    for name in SERIES:
        found[f"{name}_min"] = np.fmin.reduceat(rows[f"{name}_min"], edges)
        found[f"{name}_max"] = np.fmax.reduceat(rows[f"{name}_max"], edges)
        weights = rows[f"{name}_known"]
        means = np.where(weights > 0, rows[f"{name}_mean"], 0.0)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found[f"{name}_known"] = np.add.reduceat(weights, edges)
            found[f"{name}_mean"] = np.add.reduceat(means * weights, edges) / found[f"{name}_known"]
        known = ~np.isnan(rows[f"{name}_last"])
        latest = np.maximum.accumulate(np.where(known, np.arange(len(rows)), -1))[ends - 1]
        found[f"{name}_last"] = np.where(latest >= edges, rows[f"{name}_last"][np.maximum(latest, 0)], np.nan)
    return found


def of_segments(columns: Columns) -> tuple[int, np.ndarray]:
    """Return the summaries of each segment that are stored with a block, and the observations that each stands for.

    They are 0 and none if the block has more segments than are worth it: then its columns are read.
    """
    segment = columns.values["segment"].astype(np.int64)
    offsets = np.arange(len(columns))
    granule = SEGMENT_GRANULE
    while granule <= LARGEST_SEGMENT_GRANULE:
        key = offsets // granule * 65536 + segment
        count = len(np.unique(key))
        if count <= MOST_SEGMENT_ROWS:
            break
        granule *= 2
    else:
        return 0, np.zeros(0, SEGMENT_ROW)
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.diff(key[order], prepend=-1))
    own = Columns(columns.first, {name: c[order] for name, c in columns.values.items()}, [], columns.labels)
    rows = np.zeros(count, SEGMENT_ROW)
    rows["summary"] = of_columns(own, edges)
    rows["segment"] = segment[order][edges]
    rows["offset"] = order[np.append(edges[1:], len(order)) - 1]
    return granule, rows


def of_block(columns: Columns) -> np.ndarray:
    """Return the summaries that are stored with a block."""
    return of_columns(columns, np.arange(0, len(columns), GRANULE))
