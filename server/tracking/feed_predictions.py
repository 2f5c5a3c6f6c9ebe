"""Predictions of runs before they are submitted, by the models of the streams that an experiment feeds."""

from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

from server.core.errors import Invalid, NotFound, TailraceError
from server.core.validation import format_value
from server.learning.metrics import call_stats
from server.learning.models import Model
from server.learning.predictions import predict_points
from server.streams import feature_warnings
from server.tracking import feed_points
from server.tracking.models import Experiment, Feed

MOST_MODELS = 20
"""Most models of one stream that are asked, by their names."""


def predict(
    experiment: Experiment,
    params: Mapping[str, Any],
    *,
    stream: str | None = None,
    level: float = 0.95,
    may_read: Callable[[], bool] = lambda: True,
) -> list[dict[str, Any]]:
    """Return what the models of each feed's stream predict for a run with these params.

    Parameters
    ----------
    params
        Text, or numbers and booleans, which are taken as trainings log them.
    stream
        Only this feed; None: all.
    level
        Probability of the intervals, in (0, 1).
    may_read
        Returns whether the caller may see the values that the streams have seen.

    Raises
    ------
    NotFound
        If the experiment has no feed, or not this one.
    Invalid
        If the params suit none of the feeds.
    """
    rows = Feed.objects.filter(experiment=experiment).select_related("stream").order_by("stream_name")
    if stream is not None:
        rows = rows.filter(stream_name=stream)
    feeds = list(rows) if stream is None or "\x00" not in stream else []
    if not feeds:
        which = "no feed" if stream is None else f"no feed to a stream named {format_value(stream)}"
        raise NotFound(
            f"experiment {format_value(experiment.name)} has {which}: make one, so that models learn from its runs",
            field="stream",
        )
    texts = {name: feed_points.as_text(value) for name, value in params.items()}
    found = [_predicted(feed, texts, level, may_read) for feed in feeds]
    if all(one["error"] for one in found):
        raise Invalid("; ".join(f"stream {one['stream']}: {one['error']}" for one in found)[:2000], field="params")
    return found


def _predicted(feed: Feed, params: Mapping[str, str], level: float, may_read: Callable[[], bool]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "stream": feed.stream_name,
        "target": feed_points.shown_target(feed),
        "unit": "s" if not feed.metric else "",
        "x": None,
        "error": "",
        "models": [],
    }
    if feed.stream is None:
        return shown | {"error": f"stream {feed.stream_name} was deleted"}
    shown["unit"] = feed.stream.target_unit or shown["unit"]
    try:
        shown["x"] = feed_points.features(feed, params)
    except feed_points.LeftOut as exc:
        return shown | {"error": str(exc)}
    names = list(Model.objects.filter(stream=feed.stream).order_by("name").values_list("name", flat=True)[:MOST_MODELS])
    shown["models"] = [_by(name, shown["x"], level, may_read) for name in names]
    return shown


def _by(name: str, x: dict[str, Any], level: float, may_read: Callable[[], bool]) -> dict[str, Any]:
    """Return what a model predicts. One that can't has the reason as ``error``."""
    answer: dict[str, Any] = {
        "model": name, "prediction": None, "interval": None, "at": None, "error": "", "warnings": []
    }  # fmt: skip
    began = perf_counter_ns()
    try:
        found = predict_points.predict(name, [x], level=level, may_read=may_read)
    except TailraceError as exc:
        return answer | {"error": exc.message}
    call_stats.predicted(found.model_id, perf_counter_ns() - began)
    answer["prediction"], answer["at"] = found.predictions[0], found.at
    answer["interval"] = None if found.intervals is None else found.intervals[0]
    answer["warnings"] = [fault.of_point(may_read=may_read()) for fault in feature_warnings.shortened(found.faults)]
    return answer
