"""Histories of metrics: all points, or as few as a chart shows, with the least and the largest of each part."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection

from server.core.errors import Invalid, NotFound
from server.core.validation import format_value
from server.tracking import values
from server.tracking.models import LatestMetric, Metric, Run

MOST_POINTS, MOST_BINS, MOST_KEYS = 10_000, 2_000, 100


class Page(NamedTuple):
    """Points in the order of steps, and where the next ones begin; None: there are no more."""

    points: list[tuple[int, int, float | str]]
    next: str | None


def series(run: Run, key: str) -> LatestMetric:
    """Return a metric of a run.

    Raises
    ------
    NotFound
        If it has none of this key.
    """
    found = LatestMetric.objects.filter(run=run, key=key).first() if "\x00" not in key else None
    if found is None:
        known = list(LatestMetric.objects.filter(run=run).order_by("key").values_list("key", flat=True)[:20])
        raise NotFound(
            f"run {run.uid} has no metric {format_value(key)}: it has {', '.join(map(format_value, known)) or 'none'}",
            field="key",
        )
    return found


def page(metric: LatestMetric, limit: int = MOST_POINTS, after: str | None = None) -> Page:
    """Return points by step, time and value.

    Parameters
    ----------
    after
        ``next`` of the page before.

    Raises
    ------
    Invalid
        If ``after`` is none.
    """
    where, parameters = "", [metric.pk]
    if after is not None:
        where = " AND (step, time_ms, value, special) > (%s, %s, %s, %s)"
        parameters += _position(after)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT step, time_ms, value, special FROM tracking_metric WHERE series_id = %s{where}"
            " ORDER BY step, time_ms, value, special LIMIT %s",
            [*parameters, limit + 1],
        )
        rows = cursor.fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        [(step, time_ms, values.shown(value, special)) for step, time_ms, value, special in rows],
        ":".join(map(repr, rows[-1])) if more else None,
    )


def _position(text: str) -> list[Any]:
    parts = text.split(":")
    try:
        step, time_ms, value, special = int(parts[0]), int(parts[1]), float(parts[2]), int(parts[3])
        if len(parts) != 4 or value - value != 0.0 or not all(-(2**63) <= one < 2**63 for one in (step, time_ms)):
            raise ValueError(text)
    except (ValueError, IndexError) as exc:
        raise Invalid(f"after is {format_value(text)}: expected `next` of an earlier answer", field="after") from exc
    return [step, time_ms, value, special & 3]


class Bin(NamedTuple):
    """Points of consecutive steps: first and last step and time, least and largest finite value, the last one, how many."""

    first_step: int
    last_step: int
    first_ms: int
    last_ms: int
    min: float | None
    max: float | None
    last: float | str
    points: int
    special: int
    """How many of them are NaN or infinite."""


def bins(metric: LatestMetric, most: int = 500) -> list[Bin]:
    """Return a metric in at most ``most`` parts with equally many points, so that a chart keeps its extremes.

    A metric with no more points than that has a part for each.
    """
    total = Metric.objects.filter(series=metric).count()
    size = max(1, -(-total // most))
    with connection.cursor() as cursor:
        cursor.execute(_BINS, [metric.pk, size, size, total])
        rows = cursor.fetchall()
    return [
        Bin(first_step, last_step, first_ms, last_ms, least, largest, values.shown(last, special), points, specials)
        for first_step, last_step, first_ms, last_ms, least, largest, last, special, points, specials in rows
    ]


_BINS = """
WITH numbered AS (
    SELECT step, time_ms, value, special, ROW_NUMBER() OVER (ORDER BY step, time_ms, value, special) AS number
    FROM tracking_metric WHERE series_id = %s
), divided AS (
    SELECT step, time_ms, value, special, (number - 1) / %s AS bin, number %% %s = 0 OR number >= %s AS is_last
    FROM numbered
)
SELECT MIN(step), MAX(step), MIN(time_ms), MAX(time_ms),
    MIN(CASE WHEN special = 0 THEN value END), MAX(CASE WHEN special = 0 THEN value END),
    MAX(CASE WHEN is_last THEN value END), MAX(CASE WHEN is_last THEN special END),
    COUNT(*), SUM(CASE WHEN special = 0 THEN 0 ELSE 1 END)
FROM divided GROUP BY bin ORDER BY bin
"""


def keys(numbers: Iterable[int]) -> list[str]:
    """Return the keys of metrics of runs, by name."""
    return sorted(set(LatestMetric.objects.filter(run__in=list(numbers)).values_list("key", flat=True)))
