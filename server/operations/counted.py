"""What all processes counted (:mod:`server.streams.instruments`), as prometheus-client's families."""

import time
from collections.abc import Iterable, Iterator
from math import isinf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from server.streams import instruments
from server.streams.instruments import BETWEEN, METRICS, SUM, Histogram

DEAD_AFTER = 30.0
"""Seconds after which a process that says nothing is no longer there: what is at the moment is not its any more."""

ALIVE_AT = instruments.alive_at.name


def families() -> Iterator[Metric]:
    """Every instrument that is declared, added up over all processes."""
    sums = _sums(instruments.read_all())
    for name, declared in METRICS.items():
        series = sums.get(name, {})
        if isinstance(declared, Histogram):
            yield _histogram(declared, series)
        elif declared.kind == "counter":
            counter = CounterMetricFamily(name, declared.help, labels=declared.labels)
            for labels, value in sorted(series.items() or ([] if declared.labels else [((), 0.0)])):
                counter.add_metric(labels, value)
            yield counter
        elif name != ALIVE_AT:
            yield GaugeMetricFamily(name, declared.help, value=series.get((), 0.0))


def _sums(processes: Iterable[dict[str, float]]) -> dict[str, dict[tuple[str, ...], float]]:
    """Metric, then what stands in the number's name behind it, to the sum over processes."""
    sums: dict[str, dict[tuple[str, ...], float]] = {}
    now = time.monotonic()
    for numbers in processes:
        said = numbers.get(ALIVE_AT, 0.0)
        is_alive = 0 <= now - said < DEAD_AFTER
        for key, value in numbers.items():
            name, *rest = key.split(BETWEEN)
            declared = METRICS.get(name)
            if declared is None or (declared.kind == "gauge" and not is_alive):
                continue
            series = sums.setdefault(name, {})
            series[tuple(rest)] = series.get(tuple(rest), 0.0) + value
    return sums


def _histogram(declared: Histogram, series: dict[tuple[str, ...], float]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(declared.name, declared.help, labels=declared.labels)
    for labels in sorted({rest[:-1] for rest in series} or ([] if declared.labels else [()])):
        total, buckets = 0.0, []
        for bound in (*declared.bounds, float("inf")):
            total += series.get((*labels, f"{bound:g}"), 0.0)
            buckets.append(("+Inf" if isinf(bound) else str(float(bound)), total))
        family.add_metric(labels, buckets, series.get((*labels, SUM), 0.0))
    return family
