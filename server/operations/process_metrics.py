"""Metrics that the processes count (:mod:`server.core.metrics.declarations`), summed over all processes."""

from collections.abc import Iterator
from math import isinf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from server.core.metrics import totals
from server.core.metrics.declarations import METRICS, SUM, Histogram


def families() -> Iterator[Metric]:
    """Yield every declared metric, summed over all processes."""
    sums = totals.totals()
    for name, declared in METRICS.items():
        series = sums.get(name, {})
        if isinstance(declared, Histogram):
            yield _histogram(declared, series)
        elif declared.kind == "counter":
            counter = CounterMetricFamily(name, declared.help, labels=declared.label_names)
            for labels, value in sorted(series.items() or ([] if declared.label_names else [((), 0.0)])):
                counter.add_metric(labels, value)
            yield counter
        elif name != totals.ALIVE_AT:
            yield GaugeMetricFamily(name, declared.help, value=series.get((), 0.0))


def _histogram(declared: Histogram, series: dict[tuple[str, ...], float]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(declared.name, declared.help, labels=declared.label_names)
    for labels in sorted({rest[:-1] for rest in series} or ([] if declared.label_names else [()])):
        total, buckets = 0.0, []
        for bound in (*declared.bounds, float("inf")):
            total += series.get((*labels, f"{bound:g}"), 0.0)
            buckets.append(("+Inf" if isinf(bound) else str(float(bound)), total))
        family.add_metric(labels, buckets, series.get((*labels, SUM), 0.0))
    return family
