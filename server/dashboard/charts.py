"""Charts of the pages. Each has a sentence, a picture without scripts, a table, and its data as JSON and CSV."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from server.core.json_codec import dumps
from server.dashboard.formatting import number

Style = Literal["line", "low", "high", "points", "bars"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 240, 64, 26, 8, 8
TABLE_ROWS = 25
TICKS = 4


@dataclass(frozen=True)
class Series:
    """One series of a chart.

    Attributes
    ----------
    label
        Its name, which the legend and the table show.
    values
        A number for each position; None where there is none.
    style
        ``line``, ``points`` or ``bars``; ``low`` and ``high`` are the two sides of a band, one after the other.
    tone
        Index of its color, 0 to 7.
    """

    label: str
    values: Sequence[float | None]
    style: Style = "line"
    tone: int = 0


@dataclass
class Chart:
    """A chart.

    Attributes
    ----------
    name
        Its name in URLs.
    title, sentence
        What it is, and what it shows now.
    x_label, y_label
        Labels of the axes, with units.
    x
        Positions, ascending if ``kind`` is ``line``.
    series
        What is drawn over them.
    kind
        ``line``, or ``scatter`` where each position has a point of its own.
    stands_for
        Observations that one position stands for.
    live
        Whether the chart's end moves as observations come.
    diagonal
        Whether the line on which x and y are equal is drawn.
    is_time
        Whether ``x`` has times, in seconds since 1970.
    y_range
        Least and largest value of the axis; None: all values. What lies beyond is cut off.
    texts
        Columns of text for the table and the exports, by label.
    """

    name: str
    title: str
    sentence: str
    x_label: str
    y_label: str
    x: Sequence[float]
    series: list[Series]
    kind: Literal["line", "scatter"] = "line"
    stands_for: int = 1
    live: bool = False
    diagonal: bool = False
    is_time: bool = False
    y_range: tuple[float, float] | None = None
    texts: dict[str, Sequence[str]] = field(default_factory=dict)
    url: str = ""

    @property
    def is_empty(self) -> bool:
        return not any(value is not None for series in self.series for value in series.values)

    @property
    def keeps_extremes(self) -> bool:
        """Whether the least and the largest value of each position are drawn."""
        return any(series.style == "low" for series in self.series)

    @property
    def is_shown(self) -> bool:
        """Whether there is something to draw, or will be."""
        return self.live or not self.is_empty

    @property
    def columns(self) -> list[str]:
        return [self.x_label, *(series.label for series in self.series), *self.texts]

    def rows(self, most: int | None = None) -> Iterator[list[Any]]:
        """Yield the rows of the table: all, or about ``most`` that are evenly spaced, with the last."""
        size = len(self.x)
        step = 1 if most is None else max(1, -(-size // most))
        for index in range((size - 1) % step if size else 0, size, step):
            yield [
                _time(self.x[index]) if self.is_time else self.x[index],
                *(series.values[index] for series in self.series),
                *(text[index] for text in self.texts.values()),
            ]

    @property
    def table(self) -> list[list[Any]]:
        return list(self.rows(TABLE_ROWS))

    @property
    def is_thinned(self) -> bool:
        """Whether the table on the page has fewer rows than the chart has positions."""
        return len(self.x) > TABLE_ROWS

    def csv_url(self) -> str:
        return f"{self.url}{'&' if '?' in self.url else '?'}format=csv"

    def svg(self) -> SafeString:
        """Return the picture for readers without scripts."""
        if self.is_empty:
            return SafeString("")
        low_x, high_x = _range(self.x)
        low_y, high_y = self.y_range or _range([v for s in self.series for v in s.values])
        if any(series.style == "bars" for series in self.series):
            low_y = min(0.0, low_y)

        def across(x: float) -> float:
            return LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)

        def up(y: float) -> float:
            y = min(max(y, low_y), high_y)
            return HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - BOTTOM - TOP)

        parts = [_axes(low_x, high_x, low_y, high_y, across, up, is_time=self.is_time)]
        if self.diagonal:
            least, most = max(low_x, low_y), min(high_x, high_y)
            line = (across(least), up(least), across(most), up(most))
            parts.append(format_html('<path class="diagonal" d="M{},{} L{},{}"/>', *map(_rounded, line)))
        for series in self.series:
            points = [
                (across(x), up(y))
                for x, y in zip(self.x, series.values, strict=True)
                if y is not None and math.isfinite(y)
            ]
            if series.style == "points":
                dots = ((_rounded(x), _rounded(y)) for x, y in points)
                drawn = format_html_join("", '<circle cx="{}" cy="{}" r="2"/>', dots)
                parts.append(format_html('<g class="dots tone-{}">{}</g>', series.tone, drawn))
            elif series.style == "bars":
                path = " ".join(f"M{x:.1f},{up(0.0):.1f} V{y:.1f}" for x, y in points)
                parts.append(format_html('<path class="bars tone-{}" d="{}"/>', series.tone, path))
            elif points:
                path = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
                kind = "edge" if series.style in ("low", "high") else "curve"
                parts.append(format_html('<path class="{} tone-{}" d="{}"/>', kind, series.tone, path))
        return format_html(
            '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
            WIDTH, HEIGHT, f"{self.title}. {self.sentence}", format_html_join("", "{}", ((part,) for part in parts)),
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return what the script draws."""
        return {
            "name": self.name,
            "title": self.title,
            "sentence": self.sentence,
            "kind": self.kind,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "x": list(self.x),
            "series": [
                {"label": one.label, "values": list(one.values), "style": one.style, "tone": one.tone}
                for one in self.series
            ],
            "stands_for": self.stands_for,
            "live": self.live,
            "diagonal": self.diagonal,
            "is_time": self.is_time,
            "y_range": self.y_range,
            "texts": {name: list(values) for name, values in self.texts.items()},
        }


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _rounded(value: float) -> str:
    return f"{value:.1f}"


def _range(values: Sequence[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _axes(
    low_x: float, high_x: float, low_y: float, high_y: float, across: Any, up: Any, *, is_time: bool
) -> SafeString:
    steps = [index / TICKS for index in range(TICKS + 1)]
    ys = [(low_y + (high_y - low_y) * step) for step in steps]
    xs = [(low_x + (high_x - low_x) * step) for step in steps]
    lines = format_html_join(
        "",
        '<path class="grid" d="M{},{} H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>',
        ((LEFT, _rounded(up(y)), WIDTH - RIGHT, LEFT - 6, _rounded(up(y) + 4), number(y, 3)) for y in ys),
    )
    labels = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="{}">{}</text>',
        (
            (
                _rounded(across(x)),
                HEIGHT - 6,
                "end" if index == TICKS else "middle",
                _time(x)[5:16] if is_time else number(x, 3),
            )
            for index, x in enumerate(xs)
        ),
    )
    return format_html("{}{}", lines, labels)


def respond(request: HttpRequest, chart: Chart) -> HttpResponse:
    """Return a chart's data: JSON for the script, or a CSV file (``format=csv``)."""
    if request.GET.get("format") != "csv":
        return HttpResponse(dumps(chart.as_json()), content_type="application/json")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(chart.columns)
    writer.writerows([_exported(value) for value in row] for row in chart.rows())
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="tailrace-{chart.name}.csv"'
    return response


def _exported(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in "=+-@\t\r":  # a spreadsheet would compute it
        return f"'{value}"
    return value


def url(path: str, request: HttpRequest, names: Sequence[str]) -> str:
    """Return the URL of a chart's data, with those parameters of the page that it uses."""
    used = {name: request.GET.getlist(name) for name in names if request.GET.get(name)}
    return f"{path}?{urlencode(used, doseq=True)}" if used else path
