"""Pictures of runs as SVG, without scripts: parallel coordinates of several runs, and where a version comes from."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from server.dashboard.formatting import number
from server.dashboard.plots import Plot, Point

MOST_AXES, MOST_RUNS = 10, 500
WIDTH, HEIGHT, TOP, BOTTOM, SIDE = 1080.0, 260.0, 34.0, 26.0, 56.0
LONGEST_NAME = 16


def parallel(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> SafeString:
    """Return parallel coordinates: an axis for each column with at least two different numbers, a line for each run.

    The color goes by the last axis: low, middle and high values. Empty with fewer than two such columns or runs.
    """
    values = {name: [as_number(row["values"].get(name)) for row in rows] for name in names}
    axes = [name for name, some in values.items() if len({v for v in some if v is not None}) > 1][-MOST_AXES:]
    if len(axes) < 2 or len(rows) < 2:
        return SafeString("")
    across = {name: SIDE + n * (WIDTH - 2 * SIDE) / (len(axes) - 1) for n, name in enumerate(axes)}
    ranges = {name: _range([v for v in values[name] if v is not None]) for name in axes}

    def up(name: str, value: float) -> float:
        low, high = ranges[name]
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    lines = []
    for index, row in enumerate(rows[:MOST_RUNS]):
        places = [(across[name], up(name, v)) for name in axes if (v := values[name][index]) is not None]
        if len(places) > 1:
            last = values[axes[-1]][index]
            low, high = ranges[axes[-1]]
            third = 0 if last is None else min(2, int(3 * (last - low) / (high - low)))
            said = ", ".join(f"{name} {number(v)}" for name in axes if (v := values[name][index]) is not None)
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            lines.append((third + 1, points, f"{row['shown_name']}: {said}"))
    ticks = [
        (f"{across[name]:.1f}", f"{y:.1f}", number(value))
        for name in axes
        for value, y in ((ranges[name][0], HEIGHT - BOTTOM + 16), (ranges[name][1], TOP - 5))
    ]
    return format_html(
        '<svg class="plot wide" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}{}</svg>',
        f"{WIDTH:.0f}", f"{HEIGHT:.0f}",
        f"Parallel coordinates of {len(lines)} runs over {', '.join(axes)}; the table below has the values",
        format_html_join("", '<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>',
                         ((f"{x:.1f}", f"{x:.1f}", TOP, HEIGHT - BOTTOM) for x in across.values())),
        format_html_join("", '<polyline class="s{}" points="{}"><title>{}</title></polyline>', lines),
        format_html_join("", '<text class="tick middle" x="{}" y="{}">{}</text>', ticks),
        format_html_join("", '<text class="name middle" x="{}" y="14">{}<title>{}</title></text>',
                         ((f"{x:.1f}", _short(name.partition(".")[2]), name) for name, x in across.items())),
    )  # fmt: skip


def scatter(rows: Sequence[dict[str, Any]], x: str, y: str) -> SafeString:
    """Return one column over another, a point for each run; empty if no run has both as numbers."""
    points = [
        Point(a, b, title=f"{row['shown_name']}: {number(a)}, {number(b)}")
        for row in rows
        if (a := as_number(row["values"].get(x))) is not None and (b := as_number(row["values"].get(y))) is not None
    ]
    return Plot(f"{y} over {x} of {len(points)} runs", x, y, [("runs", points)], joined=False).svg()


def as_number(value: Any) -> float | None:
    """Return a metric, or the text of a param, as a finite number; None if it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if math.isfinite(high - low) and high > low else (low, low + 1.0)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


class Station(NamedTuple):
    """A box of the way from data to a model: what it is, its name, where its page is (empty: nowhere)."""

    what: str
    name: str
    href: str


def way(stations: Sequence[Sequence[Station]]) -> SafeString:
    """Return the way from data to a model as boxes in columns, each column joined with the next. Empty for fewer than two."""
    columns = [column for column in stations if column]
    if len(columns) < 2:
        return SafeString("")
    box_width, box_height, gap_x, gap_y = 190, 44, 46, 14
    most = max(len(column) for column in columns)
    width = len(columns) * (box_width + gap_x) - gap_x + 8
    height = most * (box_height + gap_y) - gap_y + 8
    places = [
        [
            (4 + n * (box_width + gap_x), 4 + (height - 8 - len(column) * (box_height + gap_y) + gap_y) // 2 + m * (box_height + gap_y))
            for m in range(len(column))
        ]
        for n, column in enumerate(columns)
    ]  # fmt: skip
    lines = [
        (a[0] + box_width, a[1] + box_height // 2, b[0], b[1] + box_height // 2)
        for left, right in itertools.pairwise(places)
        for a in left
        for b in right
    ]
    boxes = SafeString("")
    for column, some in zip(columns, places, strict=True):
        for one, (x, y) in zip(column, some, strict=True):
            drawn = format_html(
                '<rect x="{}" y="{}" width="{}" height="{}" rx="6"/><text class="quiet" x="{}" y="{}">{}</text>'
                '<text x="{}" y="{}">{}<title>{}</title></text>',
                x, y, box_width, box_height, x + 10, y + 17, one.what, x + 10, y + 35, _short_station(one.name), one.name,
            )  # fmt: skip
            boxes += format_html('<a href="{}">{}</a>', one.href, drawn) if one.href else drawn
    said = " → ".join(", ".join(f"{one.what} {one.name}" for one in column) for column in columns)
    return format_html(
        '<svg class="chain" viewBox="0 0 {} {}" width="{}" role="group" aria-label="{}">{}{}</svg>',
        width, height, width, said,
        format_html_join("", '<line x1="{}" y1="{}" x2="{}" y2="{}"/>', lines), boxes,
    )  # fmt: skip


def _short_station(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
