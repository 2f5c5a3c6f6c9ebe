"""Ternary maps of compositions as SVG, without scripts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

LINE = 13.0


@dataclass(frozen=True)
class Corner:
    """A composition in a triangle: shares of the three elements, and how it is drawn."""

    name: str
    shares: tuple[float, float, float]
    tone: str
    size: float
    title: str
    link: str


def triangle(elements: tuple[str, str, str], corners: Sequence[Corner]) -> SafeString:
    """Return a ternary map as SVG.

    Parameters
    ----------
    elements
        At the top, the left and the right corner.
    corners
        The compositions, each with its shares in the order of ``elements``.
    """
    side, margin = 250.0, 30.0
    height = side * math.sqrt(3) / 2

    def place(shares: Sequence[float]) -> tuple[float, float]:
        total = sum(shares) or 1.0
        top, _, right = (share / total for share in shares)
        return margin + side * (right + top / 2), margin + height * (1 - top)

    edges = [place(one) for one in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    lines = []
    for n in (0.2, 0.4, 0.6, 0.8):
        for one, other in (
            ((n, 1 - n, 0), (n, 0, 1 - n)),
            ((1 - n, n, 0), (0, n, 1 - n)),
            ((1 - n, 0, n), (0, 1 - n, n)),
        ):
            lines.append(tuple(f"{value:.1f}" for value in (*place(one), *place(other))))
    texts = [
        (f"{edges[0][0]:.0f}", f"{edges[0][1] - 10:.0f}", elements[0]),
        (f"{edges[1][0]:.0f}", f"{edges[1][1] + 20:.0f}", elements[1]),
        (f"{edges[2][0]:.0f}", f"{edges[2][1] + 20:.0f}", elements[2]),
    ]
    dots, labels = [], []
    lowest = -math.inf
    for mark in sorted(corners, key=lambda mark: (place(mark.shares)[1], mark.name)):
        x, y = place(mark.shares)
        lowest = max(y + 4, lowest + LINE)  # names of near compositions stand below each other
        beside = x + mark.size + 14
        dots.append(
            (
                mark.link,
                mark.tone,
                f"{x:.1f}",
                f"{y:.1f}",
                f"{mark.size:.1f}",
                mark.title,
                f"{beside:.1f}",
                f"{lowest:.1f}",
                mark.name,
            )
        )
        labels.append((f"{x:.1f}", f"{y:.1f}", f"{beside - 3:.1f}", f"{lowest - 4:.1f}"))
    return format_html(
        '<svg class="plot triangle" viewBox="0 0 {} {}" role="group" aria-label="{}">'
        '<polygon points="{}"/>{}{}{}</svg>',
        f"{side + 2 * margin:.0f}", f"{height + 2 * margin:.0f}",
        f"Map of {len(corners)} compositions of {', '.join(elements)}; the table has the same",
        " ".join(f"{x:.1f},{y:.1f}" for x, y in edges),
        format_html_join("", '<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>', lines)
        + format_html_join("", '<line class="leader" x1="{}" y1="{}" x2="{}" y2="{}"/>', labels),
        format_html_join("", '<text class="name middle" x="{}" y="{}">{}</text>', texts),
        format_html_join(
            "",
            '<a href="{}"><circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>'
            '<text class="tick" x="{}" y="{}">{}</text></a>',
            dots,
        ),
    )  # fmt: skip
