"""Small plots as SVG, without scripts: points with intervals, lines, and axes with round numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from server.dashboard import formatting

WIDTH, HEIGHT = 340.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 26.0, 40.0
SERIES = 6
"""Colors of series, ``series-1`` … of the style sheet."""
LONGEST_NAME = 14
"""Characters of a name in the legend. Pointing at a point shows the whole name."""


@dataclass(frozen=True)
class Point:
    """A point of a plot.

    Attributes
    ----------
    low, high
        The interval of y; None for none.
    title
        What the browser shows when it is pointed at.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot with both axes.

    Attributes
    ----------
    title
        Says in words what is to be seen, for those who hear the page.
    series
        Name and points of each series; the points of a series are joined if ``joined``.
    level
        A horizontal line, such as a target, with its name.
    diagonal
        Whether the line y = x is drawn.
    from_zero
        Whether the y axis begins at 0.
    """

    title: str
    x_name: str
    y_name: str
    series: Sequence[tuple[str, Sequence[Point]]]
    joined: bool = True
    level: tuple[float, str] | None = None
    diagonal: bool = False
    from_zero: bool = False

    def svg(self) -> SafeString:
        """Return the plot as SVG; empty without a finite point."""
        points = [
            point for _, some in self.series for point in some if math.isfinite(point.x) and math.isfinite(point.y)
        ]
        if not points:
            return SafeString("")
        xs = [point.x for point in points]
        ys = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
        if self.level is not None:
            ys.append(self.level[0])
        if self.from_zero:
            ys.append(0.0)
        if self.diagonal:
            xs = ys = [*xs, *ys]
        across, up = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT), Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
        return format_html(
            '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}{}</svg>',
            f"{WIDTH:.0f}", f"{HEIGHT:.0f}", self.title, self._grid(across, up), self._lines(across, up),
            format_html_join("", "{}", ((_drawn(n, name, some, across, up, self.joined),)
                                        for n, (name, some) in enumerate(self.series))),
            self._names() + self._legend(),
        )  # fmt: skip

    def _grid(self, across: "Axis", up: "Axis") -> SafeString:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        return format_html(
            "{}{}",
            format_html_join(
                "", '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick end" x="{}" y="{}">{}</text>',
                ((LEFT, right, f"{y:.1f}", f"{y:.1f}", LEFT - 5, f"{y + 4:.1f}", text) for y, text in up.ticks()),
            ),
            format_html_join(
                "", '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick middle" x="{}" y="{}">{}</text>',
                ((f"{x:.1f}", f"{x:.1f}", TOP, bottom, f"{x:.1f}", bottom + 15, text) for x, text in across.ticks()),
            ),
        )  # fmt: skip

    def _lines(self, across: "Axis", up: "Axis") -> SafeString:
        found = SafeString("")
        if self.level is not None:
            y = f"{up.place(self.level[0]):.1f}"
            found += format_html(
                '<line class="level" x1="{}" x2="{}" y1="{}" y2="{}"><title>{}</title></line>',
                LEFT, WIDTH - RIGHT, y, y, self.level[1],
            )  # fmt: skip
        if self.diagonal:
            low, high = across.low, across.high
            found += format_html(
                '<line class="level" x1="{}" y1="{}" x2="{}" y2="{}"><title>exact</title></line>',
                f"{across.place(low):.1f}", f"{up.place(low):.1f}", f"{across.place(high):.1f}", f"{up.place(high):.1f}",
            )  # fmt: skip
        return found

    def _names(self) -> SafeString:
        middle = (TOP + HEIGHT - BOTTOM) / 2
        return format_html(
            '<text class="name middle" x="{}" y="{}">{}</text>'
            '<text class="name middle" transform="translate(12 {}) rotate(-90)">{}</text>',
            f"{(LEFT + WIDTH - RIGHT) / 2:.0f}", f"{HEIGHT - 6:.0f}", self.x_name, f"{middle:.0f}", self.y_name,
        )  # fmt: skip

    def _legend(self) -> SafeString:
        """Return the names of the series in their colors, evenly over the top; nothing for a single one."""
        if len(self.series) < 2:
            return SafeString("")
        width = (WIDTH - LEFT - RIGHT) / min(len(self.series), 4)
        return format_html_join(
            "", '<text class="legend s{}" x="{}" y="{}">● {}</text>',
            ((n % SERIES + 1, f"{LEFT + n * width:.0f}", "16", _short(name)) for n, (name, _) in enumerate(self.series[:4])),
        )  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


class Axis:
    """A linear axis from ``begin`` to ``end`` in the picture, with round numbers at its ends."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        span = high - low or abs(high) or 1.0
        self.step = _round_step(span / 4)
        self.low = math.floor(low / self.step + 1e-9) * self.step
        self.high = max(math.ceil(high / self.step - 1e-9) * self.step, self.low + self.step)
        self._begin, self._scale = begin, (end - begin) / (self.high - self.low)

    def place(self, value: float) -> float:
        return self._begin + (value - self.low) * self._scale

    def ticks(self) -> list[tuple[float, str]]:
        count = round((self.high - self.low) / self.step)
        values = [self.low + n * self.step for n in range(count + 1)]
        return [(self.place(value), formatting.number(float(f"{value:.6g}") + 0.0)) for value in values]


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _drawn(n: int, name: str, points: Sequence[Point], across: Axis, up: Axis, joined: bool) -> SafeString:
    shown = [point for point in points if math.isfinite(point.x) and math.isfinite(point.y)]
    places = [(across.place(point.x), up.place(point.y), point) for point in shown]
    line = SafeString("")
    if joined and len(places) > 1:
        line = format_html('<polyline points="{}"/>', " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places))
    bars = [
        (f"{x:.1f}", f"{x:.1f}", f"{up.place(point.low):.1f}", f"{up.place(point.high):.1f}")
        for x, _, point in places
        if point.low is not None and point.high is not None
    ]
    size = 3.5 if len(places) <= 200 else 1.6
    return format_html(
        '<g class="series s{}">{}{}{}</g>',
        n % SERIES + 1, line,
        format_html_join("", '<line x1="{}" x2="{}" y1="{}" y2="{}"/>', bars),
        format_html_join(
            "", '<circle cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
            ((f"{x:.1f}", f"{y:.1f}", size, point.title or f"{name}: {formatting.number(point.y)}") for x, y, point in places),
        ),
    )  # fmt: skip
