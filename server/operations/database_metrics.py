"""Metrics from the database: streams, models, their latest metrics, quotas, and whether the database responds."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from server.core.db.locks import to_unavailable
from server.core.db.readiness import READINESS, SERVING_STATES
from server.learning.models import Model
from server.streams import silence
from server.streams.log import moment
from server.streams.models import Stream
from server.streams.quotas import quota_usage

STATUSES = (Model.READY, Model.BACKFILLING, Model.REBUILDING, Model.FAILED, Model.QUARANTINED)
UP = "tailrace_database_up"

_STREAMS = "SELECT name, head FROM streams_stream ORDER BY head DESC, id LIMIT %s"
_COUNTS = "SELECT status, COUNT(*) FROM learning_model GROUP BY status"
_MODELS = """
SELECT m.name, s.name, m.progress, m.status, s.head, m."window", t.scored, t.skipped, t.metric, t.value, t.rolling,
    t.drift_at, t.snapshot_n, t.snapshot_at, m.since, s.whole_after, r.upto
FROM learning_model m
JOIN streams_stream s ON s.id = m.stream_id
LEFT JOIN learning_record r ON r.model_id = m.id AND r.generation = m.generation
LEFT JOIN learning_modelstatus t ON t.model_id = m.id AND t.generation = m.generation
ORDER BY t.at IS NULL, t.at DESC, m.id LIMIT %s
"""


def families() -> Iterator[Metric]:
    """Yield metrics of at most ``TAILRACE_METRICS_MODELS`` streams and models. If the database is down, only that it is.

    The models that learned last come first.
    """
    found: list[Metric] = []
    if READINESS.state().status in SERVING_STATES:
        try:
            found = [*_streams(), *_models(), _quotas()]
        except (DatabaseError, InterfaceError) as exc:
            to_unavailable(exc)
    yield GaugeMetricFamily(UP, "Whether the database responds", value=float(bool(found)))
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
    yield GaugeMetricFamily("tailrace_streams", "Number of streams", value=total)
    yield heads
    expected = GaugeMetricFamily(
        "tailrace_stream_expected_seconds",
        "Seconds, including the grace, within which the next observation of a stream is expected",
        labels=["stream"],
    )
    last = GaugeMetricFamily(
        "tailrace_stream_last_observation_timestamp_seconds",
        "Unix time of the last observation of a stream with an expected interval",
        labels=["stream"],
    )
    expecting = list(Stream.objects.filter(expected_every__isnull=False).order_by("pk")[: _most()])
    heard = silence.activity(expecting)
    for stream in expecting:
        expected.add_metric([stream.name], (stream.expected_every or 0) + stream.grace)
        one = heard.get(stream.pk)
        if one is not None and one.last_at is not None:
            last.add_metric([stream.name], one.last_at.timestamp())
    yield expected
    yield last


def _models() -> Iterator[Metric]:
    counts = dict(_rows(_COUNTS))
    by_status = GaugeMetricFamily("tailrace_models", "Number of models, by status", labels=("status",))
    for status in STATUSES:
        by_status.add_metric((status,), counts.get(status, 0))
    yield by_status
    table = _Table()
    for row in _rows(_MODELS, _most()):
        table.add(*row)
    yield from table.families.values()


def _quotas() -> Metric:
    """Return the number of users and tokens that are near a quota or have reached it."""
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
        "observations": "Number of the last observation that the model has learned",
        "scored": "Observations on which the model was scored",
        "skipped": "Observations that the model skipped",
        "score": "The model's main metric (RMSE, Accuracy), over all observations and over the rolling window",
        "drift": "Whether drift of the model's error was detected within its rolling window",
        "unsaved_observations": "Observations since the model's latest snapshot, which it learns again after a restart",
        "snapshot_timestamp_seconds": "Unix time of the model's latest snapshot",
        "record_behind_observations": "Observations that the model has learned and that are not in its record yet",
    }

    def __init__(self) -> None:
        self.families = {name: GaugeMetricFamily(f"tailrace_model_{name}", help) for name, help in self.HELP.items()}

    def add(
        self, name: str, stream: str, progress: int, status: str, head: int, window: int, scored: int | None,
        skipped: int, metric: str, value: float | None, rolling: float | None, drift_at: int | None,
        snapshot_n: int, snapshot_at: datetime | str | None, since: int, whole_after: int, recorded: int | None,
    ) -> None:  # fmt: skip
        """Add one row of the query."""
        labels = {"model": name, "stream": stream}
        n = head if status in (Model.READY, Model.REBUILDING) else progress
        self._put("observations", labels, n)
        if settings.TAILRACE.records and status in (Model.READY, Model.REBUILDING):
            self._put("record_behind_observations", labels, max(0, n - max(since, whole_after, recorded or 0)))
        if scored is None:  # it has not learned since the upgrade to this version
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
