"""When a model's error rose, how much, and in which segment, source or range of a feature the rise lies."""

from collections import defaultdict
from typing import Any

import numpy as np

from server.learning.models import Model
from server.learning.records import calibration
from server.streams import log

LEAST_SIDE = 20
"""Least scored observations on each side of a change."""

LEAST_SCORE = 5.0
"""Least distance of the two means, in standard errors. With a search over many places, less occurs by chance."""

LEAST_RISE = 1.25
"""Least ratio of the mean errors after and before."""

MOST_EACH_SIDE = 2000
"""Most observations before and after the change whose features and sources are read."""

LEAST_SHARE = 0.6
"""Least share of the rise that lies in a group for it to be named."""

LEAST_GROUP = 5
"""Least observations of a group before the change for a mean of their own."""

BINS = 8
"""Ranges of a feature, with as many observations in each."""


def change(errors: np.ndarray) -> tuple[int, float] | None:
    """Return where the mean of magnitudes changes most, and how clearly; None if nowhere.

    Parameters
    ----------
    errors
        Magnitudes of consecutive errors, without NaN.

    Returns
    -------
    tuple
        Offset of the first error after the change, and the difference of the two means in standard errors (the maximum
        over all places of the two-sample statistic: D. M. Hawkins, J. Am. Stat. Assoc. 72, 180 (1977)).
    """
    size = len(errors)
    if size < 2 * LEAST_SIDE:
        return None
    # Few huge errors would hide a change of all others.
    limited = np.minimum(errors, np.quantile(errors, 0.98))
    total = np.cumsum(limited)
    counts = np.arange(1, size)
    before, after = total[:-1] / counts, (total[-1] - total[:-1]) / (size - counts)
    spread = limited.std() or 1.0
    score = np.abs(after - before) / (spread * np.sqrt(1 / counts + 1 / (size - counts)))
    inside = slice(LEAST_SIDE - 1, size - LEAST_SIDE)
    place = int(np.argmax(score[inside])) + LEAST_SIDE - 1
    return (place + 1, float(score[place])) if score[place] >= LEAST_SCORE else None


def culprit(model: Model, first: int | None = None, last: int | None = None) -> dict[str, Any] | None:
    """Find the clearest rise of a model's error in a range, and where it lies.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    first, last
        Range of observations; the latest 200,000 of it are read.

    Returns
    -------
    dict
        ``n``: the first observation after the change; ``from``, ``to``: the range around it; ``before``, ``after``: mean magnitudes of the errors; ``ratio``;
        ``sentence``; ``groups``: of segments, source fields and ranges of features, those in which most of the rise lies,
        each with ``what``, ``value``, ``share`` of the rise, ``before``, ``after``, ``count``; ``jobs``: numbers of the
        observations since then with the largest errors. None if there was no rise.
    """
    columns = calibration.read(model, first, last)
    if columns is None:
        return None
    errors = columns.errors
    scored = np.flatnonzero(~np.isnan(errors))
    magnitudes = np.abs(errors[scored])
    found = change(magnitudes)
    if found is None:
        return None
    place, _ = found
    before, after = float(magnitudes[:place].mean()), float(magnitudes[place:].mean())
    if after < LEAST_RISE * before:
        return None
    n = columns.first + int(scored[place])
    low = columns.first + int(scored[max(0, place - MOST_EACH_SIDE)])
    high = columns.first + int(scored[min(len(scored), place + MOST_EACH_SIDE) - 1])
    by_number = dict(zip((columns.first + scored).tolist(), magnitudes.tolist(), strict=True))
    groups = _groups(model, by_number, low, n, high)
    worst = sorted((seq for seq in by_number if seq >= n), key=lambda seq: -by_number[seq])[:10]
    ratio = after / before if before else float("inf")
    return {
        "n": n,
        "from": low,
        "to": high,
        "before": before,
        "after": after,
        "ratio": ratio,
        "groups": groups,
        "jobs": sorted(worst),
        "sentence": _sentence(model, n, ratio, before, after, groups, high - n + 1),
    }


def _sentence(
    model: Model, n: int, ratio: float, before: float, after: float, groups: list[dict[str, Any]], since: int
) -> str:
    unit = f" {model.stream.target_unit}" if model.stream.target_unit else ""
    much = "doubled" if 1.8 <= ratio < 2.3 else f"rose {ratio:.3g}-fold"
    said = f"The error {much} at observation {n:,}: from {before:.3g} to {after:.3g}{unit} on average"
    if groups:
        group = groups[0]
        said += f"; {group['share']:.0%} of the rise is where {group['what']} is {group['value']} ({group['count']:,} of {since:,} observations since)"
    else:
        said += "; it rose in all segments, sources and ranges of features alike"
    return f"{said}."


def _groups(model: Model, errors: dict[int, float], low: int, n: int, high: int) -> list[dict[str, Any]]:
    members: dict[tuple[str, str], list[list[float]]] = defaultdict(lambda: [[], []])
    numbers: dict[str, list[tuple[int, float]]] = defaultdict(list)
    segment = model.stream.segment
    for span in log.spans(model.stream_id, low - 1, high):
        for offset, x in enumerate(span.xs):
            seq = span.first + offset
            error = errors.get(seq)
            if error is None:
                continue
            side = int(seq >= n)
            for name, value in (span.notes.get(offset, {}).get("source") or {}).items():
                members[f"source {name}", str(value)[:60]][side].append(error)
            for name, value in (x or {}).items():
                if name == segment or not isinstance(value, (int, float)) or isinstance(value, bool):
                    members[name, str(value)[:60]][side].append(error)
                else:
                    numbers[name].append((seq, float(value)))
    for name, pairs in numbers.items():
        _bin(name, pairs, errors, n, members)
    seen = [seq for seq in errors if low <= seq <= high]
    after = [errors[seq] for seq in seen if seq >= n]
    usual = float(np.mean([errors[seq] for seq in seen if seq < n]))
    return _largest(members, _rise([], after, usual), len(after), usual)


def _bin(
    name: str,
    pairs: list[tuple[int, float]],
    errors: dict[int, float],
    n: int,
    members: dict[tuple[str, str], list[list[float]]],
) -> None:
    values = np.array([value for _, value in pairs])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
    if len(edges) < 3:
        return
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    for (seq, _), index in zip(pairs, bins.tolist(), strict=True):
        label = f"{edges[index]:.4g} to {edges[index + 1]:.4g}"
        members[name, label][int(seq >= n)].append(errors[seq])


def _rise(before: list[float], after: list[float], usual: float) -> float:
    """The sum of errors after the change above what it would be at the mean of those before, or at the usual mean."""
    return float(np.sum(after) - len(after) * (np.mean(before) if len(before) >= LEAST_GROUP else usual))


def _largest(
    members: dict[tuple[str, str], list[list[float]]], rise: float, since: int, usual: float
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for (what, value), (before, after) in members.items():
        if not after or rise <= 0 or len(after) > 0.9 * since:
            continue
        share = _rise(before, after, usual) / rise
        # A group that has its fair part of the rise says nothing.
        if share >= LEAST_SHARE and share > 1.3 * len(after) / since:
            found.append(
                {
                    "what": what,
                    "value": value,
                    "share": min(share, 1.0),
                    "before": float(np.mean(before)) if before else None,
                    "after": float(np.mean(after)),
                    "count": len(after),
                }
            )
    return sorted(found, key=lambda group: (-round(group["share"], 2), group["count"]))[:5]
