"""What is written is what prometheus-client would have written, to the byte."""

from collections.abc import Iterable

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from server.operations import exposition
from server.operations.metrics import all_metrics


class Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def test_every_kind_of_family() -> None:
    odd = 'a "quoted" \\ path\nof two lines, ü'
    requests = CounterMetricFamily("requests", f"Help, too: {odd}", labels=("route", "method"))
    requests.add_metric((odd, "GET"), 3)
    seconds = HistogramMetricFamily("seconds", "How long", labels=("call",))
    seconds.add_metric(("learn",), [("0.5", 1.0), ("+Inf", 2.0)], 0.75)
    levels = GaugeMetricFamily("level", "Levels")
    shared = {"model": "a", "stream": "b"}
    values = (
        0.0,
        -1.5,
        1e-9,
        123456.0,
        1234567.0,
        1.795277110631419e9,
        1e22,
        float("inf"),
        float("-inf"),
        float("nan"),
    )
    levels.samples = [Sample("level", shared, value) for value in values]
    nothing = GaugeMetricFamily("nothing", "None yet", labels=("model",))
    families = [
        InfoMetricFamily("build", "Versions of the server", value={"version": "1", "python": odd}),
        requests, seconds, levels, nothing, GaugeMetricFamily("up", "Whether it is", value=1.0),
    ]  # fmt: skip
    assert exposition.text(iter(families)) == generate_latest(Given(families))


@pytest.mark.django_db(transaction=True)
def test_all_that_there_is() -> None:
    families = list(all_metrics())
    assert exposition.text(families) == generate_latest(Given(families))
