"""Numbers of all processes of this machine, summed up."""

import time

from server.core.metrics import declarations
from server.core.metrics.declarations import METRICS, SEPARATOR, SUM, Gauge, Histogram

DEAD_AFTER = 30.0
"""Seconds without an update after which a process is considered dead and its gauges are ignored."""

ALIVE_AT = declarations.alive_at.name

Totals = dict[str, dict[tuple[str, ...], float]]
"""Sums by metric and the other parts of the number's name."""


def totals() -> Totals:
    """Return the sums over all processes. Gauges count only while their process lives."""
    sums: Totals = {}
    for numbers in declarations.read_all():
        alive = is_alive(numbers)
        for key, value in numbers.items():
            name, *rest = key.split(SEPARATOR)
            declared = METRICS.get(name)
            if declared is None or (declared.kind == Gauge.kind and not alive):
                continue
            series = sums.setdefault(name, {})
            series[tuple(rest)] = series.get(tuple(rest), 0.0) + value
    return sums


def gauges_by_process() -> list[dict[str, float]]:
    """Return the gauges of each process that is alive, by metric."""
    return [
        {name: numbers.get(name, 0.0) for name, declared in METRICS.items() if declared.kind == Gauge.kind}
        for numbers in declarations.read_all()
        if is_alive(numbers)
    ]


def is_alive(numbers: dict[str, float]) -> bool:
    """Whether the process of these numbers is alive, as far as it has told."""
    return 0 <= time.monotonic() - numbers.get(ALIVE_AT, 0.0) < DEAD_AFTER


def durations(declared: Histogram, sums: Totals) -> dict[tuple[str, ...], tuple[float, float]]:
    """Return the count and the sum of a histogram's values, by the values of its labels."""
    found: dict[tuple[str, ...], tuple[float, float]] = {}
    for (*labels, part), value in sums.get(declared.name, {}).items():
        count, total = found.get(tuple(labels), (0.0, 0.0))
        found[tuple(labels)] = (count, total + value) if part == SUM else (count + value, total)
    return found


def quantile(declared: Histogram, labels: tuple[str, ...], q: float, sums: Totals) -> float | None:
    """Return the bound of the bucket that holds a quantile: it is at most this much. None if nothing was counted."""
    series = sums.get(declared.name, {})
    counts = [series.get((*labels, f"{bound:g}"), 0.0) for bound in (*declared.bounds, float("inf"))]
    wanted, passed = q * sum(counts), 0.0
    for bound, count in zip((*declared.bounds, float("inf")), counts, strict=True):
        passed += count
        if count and passed >= wanted:
            return bound
    return None
