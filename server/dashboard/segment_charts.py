"""Small charts of all segments of a model, one beside the other on the same scale."""

from typing import Any

import numpy as np
from django.utils.html import format_html
from django.utils.safestring import SafeString

from server.dashboard.charts import Chart, Series
from server.dashboard.formatting import number, share
from server.learning.models import Model
from server.learning.records import calibration, reading, segment_curves
from server.learning.records.columns import Columns
from server.learning.records.segment_curves import SegmentCurves

CURVES = {"rmse": "RMSE", "error": "errors"}
ORDERS = {"worst": "the worst first", "count": "the most observations first", "name": "by name"}
WIDTH, HEIGHT = 160, 48
BEYOND = 0.99
"""Share of all values that the scale has room for, so that a single spike doesn't flatten all curves."""


def small(model: Model, columns: Columns | None, curve: str, order: str) -> dict[str, Any]:
    """Return a small chart of each segment, with its metrics.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    columns
        The observations; None if there is none.
    curve
        One of :data:`CURVES`.
    order
        One of :data:`ORDERS`.

    Returns
    -------
    dict
        ``rows``: metrics of each segment (:func:`server.learning.records.calibration.by_segment`), with its ``picture``;
        ``size``: how many observations these are of; ``sentence``: what the pictures show.
    """
    if columns is None or not columns.segments:
        return {"rows": [], "size": 0, "sentence": ""}
    found = segment_curves.of_columns(columns)
    is_class = bool(columns.labels)
    top = _top(found, curve, is_class)
    place = {name: index for index, name in enumerate(found.segments)}
    rows = calibration.by_segment(columns)
    if order == "count":
        rows.sort(key=lambda row: -row["scored"])
    elif order == "name":
        rows.sort(key=lambda row: row["segment"])
    for row in rows:
        row["picture"] = _picture(found, place[row["segment"]], curve, is_class, top)
    return {"rows": rows, "size": len(columns), "sentence": _sentence(model, rows, curve, is_class, top)}


def _top(found: SegmentCurves, curve: str, is_class: bool) -> float:
    """Return the largest value of the scale, which all pictures share."""
    if is_class:
        return 1.0
    values = found.RMSE if curve == "rmse" else np.fmax(np.abs(found.low), np.abs(found.high))
    known = values[np.isfinite(values)]
    return (float(np.quantile(known, BEYOND)) if len(known) else 0.0) or 1.0


def _sentence(model: Model, rows: list[dict[str, Any]], curve: str, is_class: bool, top: float) -> str:
    unit = f" {model.stream.target_unit}" if model.stream.target_unit else ""
    if is_class:
        scale = f"share of wrong labels, from {share(0)} to {share(1)}"
    elif curve == "rmse":
        scale = f"RMSE, from 0 to {number(top)}{unit}"
    else:
        scale = f"mean error with the least and the largest, from −{number(top)} to {number(top)}{unit}, zero dashed"
    known = [row for row in rows if row["RMSE"] is not None]
    worst = max(known, key=lambda row: row["RMSE"], default=None)
    if worst is None:
        return "Nothing was scored yet."
    many = f"{number(len(rows))} segments" if len(rows) > 1 else "One segment"
    what = share(worst["MAE"]) if is_class else f"{number(worst['RMSE'])}{unit}"
    where = f"where {model.stream.segment} is {worst['segment'] or 'missing'}"
    metric = "Most wrong labels" if is_class else "Largest RMSE"
    return f"{many}. {metric}: {what}, {where}. All curves are on one scale: {scale}."


def _picture(found: SegmentCurves, index: int, curve: str, is_class: bool, top: float) -> SafeString:
    across = WIDTH / max(1, len(found.last) - 1)
    signed = curve == "error" and not is_class
    low = -top if signed else 0.0

    def points(values: np.ndarray) -> list[str]:
        heights = HEIGHT - 1 - (np.clip(values, low, top) - low) / (top - low) * (HEIGHT - 2)
        return [f"{at * across:.1f},{y:.1f}" for at, y in enumerate(heights.tolist()) if y == y]

    line = points((found.mean if is_class or signed else found.RMSE)[index])
    if len(line) == 1:
        line *= 2  # a point: with round ends, it is seen
    parts = []
    if signed:
        edges = points(found.high[index]) + points(found.low[index])[::-1]
        if edges:
            parts.append(format_html('<path class="band" d="M{}z"/>', " L".join(edges)))
        parts.append(format_html('<path class="zero" d="M0,{} H{}"/>', HEIGHT / 2, WIDTH))
    if line:
        parts.append(format_html('<path class="line" d="M{}"/>', " L".join(line)))
    return format_html(
        '<svg viewBox="0 0 {} {}" aria-hidden="true" preserveAspectRatio="none">{}</svg>',
        WIDTH, HEIGHT, SafeString("".join(parts)),
    )  # fmt: skip


def export(model: Model, columns: Columns | None) -> Chart:
    """Return the curves of all segments as rows of a table."""
    found = None if columns is None or not columns.segments else segment_curves.of_columns(columns)
    xs: list[int] = []
    names: list[str] = []
    values: dict[str, list[float | None]] = {"RMSE": [], "mean error": [], "lowest error": [], "highest error": []}
    if found is not None:
        for index, name in enumerate(found.segments[: calibration.MOST_SEGMENTS]):
            xs += found.last.tolist()
            names += [name] * len(found.last)
            for what, own in zip(values, (found.RMSE, found.mean, found.low, found.high), strict=True):
                values[what] += reading.listed(own[index])
    return Chart(
        "segments",
        f"Errors by {model.stream.segment}",
        "",
        "observation",
        "error",
        xs,
        [Series(what, own, "points", tone) for tone, (what, own) in enumerate(values.items())],
        kind="scatter",
        texts={str(model.stream.segment): names},
    )
