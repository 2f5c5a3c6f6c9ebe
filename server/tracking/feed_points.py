"""Points of feeds: features from the params of a run, and the target from its metrics or its times."""

import math
import re
from collections.abc import Mapping
from typing import Any

from django.db.models import Max, Min

from server.core.json_codec import loads
from server.core.validation import format_value
from server.tracking import values
from server.tracking.models import Feed, LatestMetric, Metric, Run

WALL_TIME = "wall time"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_LONGEST_NUMBER = 400
"""Characters of a text that is read as a number."""


class LeftOut(Exception):
    """A run is not posted. The message says why."""


def kinds(feed: Feed) -> dict[str, str]:
    """Return the kind of each feature, by the param that it comes from."""
    found: dict[str, str] = loads(feed.params)
    return found


def features(feed: Feed, params: Mapping[str, str]) -> dict[str, Any]:
    """Return the features of a run.

    Parameters
    ----------
    params
        Params of the run, as texts. Others than the feed's are ignored.

    Raises
    ------
    LeftOut
        If one is missing, or is not a finite number where a number is expected.
    """
    wanted = kinds(feed)
    missing = [name for name in wanted if name not in params]
    if missing:
        what = "param" if len(missing) == 1 else "params"
        raise LeftOut(f"{what} {', '.join(map(format_value, missing[:10]))} missing")
    return {
        name: params[name] if kind == Feed.CATEGORY else _number(name, params[name]) for name, kind in wanted.items()
    }


def _number(name: str, text: str) -> int | float:
    bare = text.strip()
    if _WHOLE.fullmatch(bare):
        return int(bare)
    if len(bare) <= _LONGEST_NUMBER and _NUMBER.fullmatch(bare):
        value = float(bare)
        if math.isfinite(value):
            return value
    raise LeftOut(
        f"param {format_value(name)} is {format_value(text)}: expected a finite number; for text, make the feed with the kind "
        f"{Feed.CATEGORY} for it"
    )


def as_text(value: Any) -> str:
    """Return a param as trainings log it: text as it is, anything else as Python writes it."""
    return value if isinstance(value, str) else str(value)


def target(feed: Feed, run: Run) -> float:
    """Return the target of a run: a value of the metric, or the wall time in s.

    Raises
    ------
    LeftOut
        If it has none, or it is not finite.
    """
    if not feed.metric:
        if run.ended_ms is None or run.ended_ms < run.started_ms:
            raise LeftOut(f"its {WALL_TIME} is not known: it ended before it started, or has no end")
        return (run.ended_ms - run.started_ms) / 1000
    series = LatestMetric.objects.filter(run=run, key=feed.metric).first()
    if series is None:
        raise LeftOut(f"metric {format_value(feed.metric)} missing")
    if feed.value == Feed.LAST:
        found, special = series.value, series.special
    else:
        found, special = _extreme(series, feed.value)
    if special != values.FINITE:
        raise LeftOut(
            f"the {feed.value} of metric {format_value(feed.metric)} is {values.shown(found, special)}: expected a finite number"
        )
    return found


def _extreme(series: LatestMetric, which: str) -> tuple[float, int]:
    """Return the least or the largest value and which special value it is. NaN is neither, unless there is nothing else."""
    points = Metric.objects.filter(series=series)
    reach = (values.MINUS_INFINITE, -values.LARGEST) if which == Feed.LEAST else (values.INFINITE, values.LARGEST)
    if points.filter(special=reach[0]).exists():
        return reach[1], reach[0]
    finite = points.filter(special=values.FINITE)
    found = finite.aggregate(found=Min("value") if which == Feed.LEAST else Max("value"))["found"]
    return (series.value, series.special) if found is None else (found, values.FINITE)


def shown_target(feed: Feed) -> str:
    """Return the target in words, such as ``last loss`` and ``wall time``."""
    return f"{feed.value} {feed.metric}" if feed.metric else WALL_TIME
