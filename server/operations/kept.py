"""What the database keeps, as prometheus-client's families: streams, models, how they stand, and whether it answers."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from server.learning.models import Model
from server.operations.health import EXAMINER
from server.operations.readiness import GOES_ON
from server.streams import quota_usage, silence
from server.streams.locks import give_up
from server.streams.log import moment
from server.streams.models import Stream

STATUSES = (Model.READY, Model.BACKFILLING, Model.REBUILDING, Model.FAILED, Model.QUARANTINED)
UP = "tailrace_database_up"

_STREAMS = "SELECT name, head FROM streams_stream ORDER BY head DESC, id LIMIT %s"
_COUNTS = "SELECT status, COUNT(*) FROM learning_model GROUP BY status"
_MODELS = """
SELECT m.name, s.name, m.progress, m.status, s.head, m."window", t.scored, t.skipped, t.metric, t.value, t.rolling,
    t.drift_at, t.snapshot_n, t.snapshot_at
FROM learning_model m
JOIN streams_stream s ON s.id = m.stream_id
LEFT JOIN learning_standing t ON t.model_id = m.id AND t.generation = m.generation
ORDER BY t.at IS NULL, t.at DESC, m.id LIMIT %s
"""


def families() -> Iterator[Metric]:
    """Streams and models of the database, at most ``TAILRACE_METRICS_MODELS`` of each; only that it is down where it is.

    Those that learned last come first.
    """
    found: list[Metric] = []
    if EXAMINER.state().status in GOES_ON:
        try:
            found = [*_streams(), *_models(), _quotas()]
        except (DatabaseError, InterfaceError) as exc:
            give_up(exc)
    yield GaugeMetricFamily(UP, "Whether the database answers", value=float(bool(found)))
    yield from found


def _rows(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def _most() -> int:
    most: int = settings.TAILRACE.metrics_models
    return most


def _streams() -> Iterator[Metric]:
    rows = _rows(_STREAMS, _most())
    total = _rows("SELECT COUNT(*) FROM streams_stream")[0][0]
    heads = CounterMetricFamily("tailrace_stream_observations", "Observations in the log of a stream")
    heads.samples = [Sample("tailrace_stream_observations_total", {"stream": name}, float(head)) for name, head in rows]
    yield GaugeMetricFamily("tailrace_streams", "Streams that there are", value=total)
    yield heads
    expected = GaugeMetricFamily(
        "tailrace_stream_expected_seconds",
        "Seconds, with the grace, within which another observation of a stream is expected",
        labels=["stream"],
    )
    last = GaugeMetricFamily(
        "tailrace_stream_last_observation_timestamp_seconds",
        "Unix time of the last observation of a stream that is expected to grow",
        labels=["stream"],
    )
    expecting = list(Stream.objects.filter(expected_every__isnull=False).order_by("pk")[: _most()])
    heard = silence.heard(expecting)
    for stream in expecting:
        expected.add_metric([stream.name], (stream.expected_every or 0) + stream.grace)
        one = heard.get(stream.pk)
        if one is not None and one.last_at is not None:
            last.add_metric([stream.name], one.last_at.timestamp())
    yield expected
    yield last


def _models() -> Iterator[Metric]:
    counts = dict(_rows(_COUNTS))
    by_status = GaugeMetricFamily("tailrace_models", "Models that there are, by status", labels=("status",))
    for status in STATUSES:
        by_status.add_metric((status,), counts.get(status, 0))
    yield by_status
    table = _Table()
    for row in _rows(_MODELS, _most()):
        table.add(*row)
    yield from table.families.values()


def _quotas() -> Metric:
    """How many users, and how many tokens, are near a limit or have reached it."""
    family = GaugeMetricFamily(
        "tailrace_quota_owners",
        "Users and tokens that are near a quota or have reached it",
        labels=("quota", "of", "state"),
    )
    for (quota, of, state), count in quota_usage.count_owners().items():
        family.add_metric((quota, of, state), count)
    return family


class _Table:
    """The series of each model."""

    HELP = {
        "observations": "The last observation that the model has learned",
        "scored": "Observations that the model's metrics are over",
        "skipped": "Observations that the model skipped",
        "score": "The model's main metric (RMSE, Accuracy), over all and over the rolling window",
        "drift": "Whether the model's error rose for good within its rolling window",
        "unsaved_observations": "Observations since the model's newest snapshot, which a start would learn again",
        "snapshot_timestamp_seconds": "When the model's newest snapshot was written",
    }

    def __init__(self) -> None:
        self.families = {name: GaugeMetricFamily(f"tailrace_model_{name}", help) for name, help in self.HELP.items()}

    def add(
        self, name: str, stream: str, progress: int, status: str, head: int, window: int, scored: int | None,
        skipped: int, metric: str, value: float | None, rolling: float | None, drift_at: int | None,
        snapshot_n: int, snapshot_at: datetime | str | None,
    ) -> None:  # fmt: skip
        """One row of the query."""
        labels = {"model": name, "stream": stream}
        n = head if status in (Model.READY, Model.REBUILDING) else progress
        self._put("observations", labels, n)
        if scored is None:  # it learned nothing since this version serves
            return
        self._put("scored", labels, scored)
        self._put("skipped", labels, skipped)
        for over, figure in (("all", value), ("window", rolling)):
            if figure is not None:
                self._put("score", {**labels, "metric": metric, "over": over}, figure)
        if metric:
            self._put("drift", labels, float(drift_at is not None and scored - drift_at < window))
        self._put("unsaved_observations", labels, max(0, n - snapshot_n))
        if snapshot_at is not None:
            self._put("snapshot_timestamp_seconds", labels, moment(snapshot_at).timestamp())

    def _put(self, name: str, labels: dict[str, str], value: float) -> None:
        family = self.families[name]
        family.samples.append(Sample(family.name, labels, float(value)))
