"""Pictures of a calculation: its steps as a graph, and its attempts over time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from server.calculations.clusters import load_during
from server.calculations.models import Cluster
from server.dashboard.plots import Plot, Point

MOST_STEPS, MOST_ROWS, MOST_COLUMNS = 60, 24, 5
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 230, 30, 24, 26, 6
LONGEST_NAME = 20
TONES = {
    "done": "good", "failed": "bad", "unconverged": "bad", "blocked": "bad", "undecided": "bad", "cancelled": "quiet",
    "held": "quiet", "running": "busy", "settling": "busy", "queued": "busy", "permitted": "busy", "claimed": "busy",
    "needs approval": "bad",
}  # fmt: skip
"""How a state is shown; others are plain."""

WIDTH, ROW, LABEL = 720, 22, 150
MOST_BARS = 40


def tone(state: str) -> str:
    """Return the class of a state: ``good``, ``bad``, ``busy``, ``quiet``, or empty."""
    return TONES.get(state, "")


def graph(steps: Sequence[dict[str, Any]]) -> SafeString:
    """Return the steps and what they need as SVG; empty for a single step, and for graphs that are too large to read."""
    layers = _layers(steps)
    widest = max((len(layer) for layer in layers), default=0)
    if not 1 < len(steps) <= MOST_STEPS or widest > MOST_COLUMNS or len(layers) > MOST_ROWS:
        return SafeString("")
    places: dict[str, tuple[int, int]] = {}
    for row, layer in enumerate(layers):
        for column, step in enumerate(layer):
            places[step["name"]] = (
                MARGIN + column * (BOX_WIDTH + GAP_X),
                MARGIN + row * (BOX_HEIGHT + GAP_Y),
            )
    lines = [
        (
            places[parent][0] + BOX_WIDTH // 2, places[parent][1] + BOX_HEIGHT,
            places[step["name"]][0] + BOX_WIDTH // 2, places[step["name"]][1],
        )
        for step in steps
        for parent in step["parents"]
    ]  # fmt: skip
    width = 2 * MARGIN + widest * (BOX_WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + len(layers) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    return format_html(
        '<svg class="chain" viewBox="0 0 {} {}" width="{}" role="group" aria-label="{}">{}{}</svg>',
        width, height, width, f"Graph of {len(steps)} steps; the table below has the same",
        format_html_join("", '<line x1="{}" y1="{}" x2="{}" y2="{}"/>', lines),
        format_html_join(
            "",
            '<a href="#step-{}"><rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="6"/>'
            '<text x="{}" y="{}">{}</text></a>',
            (
                (
                    quote(step["name"]), tone(step["state"]), *places[step["name"]], BOX_WIDTH, BOX_HEIGHT,
                    places[step["name"]][0] + 10, places[step["name"]][1] + 20, f"{_short(step['name'])}: {step['state']}",
                )
                for step in steps
            ),
        ),
    )  # fmt: skip


def _layers(steps: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the steps by their distance from the first ones. Parents come before their children in ``steps``, or not."""
    depth: dict[str, int] = {}
    left = list(steps)
    while left:
        later = []
        for step in left:
            if all(parent in depth for parent in step["parents"]):
                depth[step["name"]] = 1 + max((depth[parent] for parent in step["parents"]), default=-1)
            else:
                later.append(step)
        if len(later) == len(left):
            break
        left = later
    layers: list[list[dict[str, Any]]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for step in steps:
        if step["name"] in depth:
            layers[depth[step["name"]]].append(step)
    return layers


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def timeline(steps: Sequence[dict[str, Any]], now: datetime | None = None) -> SafeString:
    """Return the attempts over time as SVG: how long each waited in the queue, and how long it ran. Empty without any."""
    now = now or datetime.now(UTC)
    bars = [(step, attempt) for step in steps for attempt in step["attempts"] if attempt["permitted_at"]][-MOST_BARS:]
    if not bars:
        return SafeString("")
    begin = min(attempt["claimed_at"] for _, attempt in bars)
    end = max(attempt["ended_at"] or now for _, attempt in bars)
    span = max((end - begin).total_seconds(), 1e-6)

    def across(at: datetime) -> float:
        return LABEL + (at - begin).total_seconds() / span * (WIDTH - LABEL - 4)

    rows = []
    for n, (step, attempt) in enumerate(bars):
        over = attempt["ended_at"] or now
        ran = min(attempt["running_at"] or over, over)
        several = f" ({attempt['fence']})" if len(step["attempts"]) > 1 else ""
        rows.append(
            (
                n * ROW + 15, _short(step["name"]) + several,
                f"{across(attempt['claimed_at']):.1f}", n * ROW + 4,
                f"{max(across(ran) - across(attempt['claimed_at']), 1):.1f}",
                tone(attempt["state"]), f"{across(ran):.1f}", n * ROW + 4, f"{max(across(over) - across(ran), 2):.1f}",
            )
        )  # fmt: skip
    label = f"Attempts over {span:,.0f} s: waiting and running; the table of attempts has the same"
    return format_html(
        '<svg class="timeline" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        WIDTH, len(bars) * ROW + 4, label,
        format_html_join(
            "",
            '<text x="0" y="{}">{}</text><rect class="waits" x="{}" y="{}" width="{}" height="14"/>'
            '<rect class="{}" x="{}" y="{}" width="{}" height="14"/>',
            rows,
        ),
    )  # fmt: skip


def load(steps: Sequence[dict[str, Any]], cluster: Cluster | None, now: datetime | None = None) -> SafeString:
    """Return how busy the cluster was while the attempts waited and ran, as SVG; empty if that is not known any more."""
    attempts = [attempt for step in steps for attempt in step["attempts"] if attempt["permitted_at"]]
    if cluster is None or not attempts:
        return SafeString("")
    begin = min(attempt["claimed_at"] for attempt in attempts)
    end = max(attempt["ended_at"] or now or datetime.now(UTC) for attempt in attempts)
    values = load_during(cluster, begin, end)
    hours = [(one["at"] - begin).total_seconds() / 3600 for one in values]
    series = [
        (words, [Point(x, 100 * one[key]) for x, one in zip(hours, values, strict=True) if one.get(key) is not None])
        for key, words in (("cpu", "CPU"), ("memory", "memory"))
    ]
    title = f"CPU and memory of cluster {cluster.name} while the calculation waited and ran"
    return Plot(title, "hours since it was claimed", "in use, %", series, from_zero=True).svg()
