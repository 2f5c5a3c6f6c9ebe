"""Model status: latest metrics of each model, stored by each process for the models that it has in memory.

:mod:`server.operations.database_metrics` reads the status of all models in one query, so every worker and pod shows the same.
"""

import math
import time
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from django.db import connection
from tailrace.estimators.drift import DriftDetector

from server.core.db.locks import transaction_for_writing
from server.core.json_codec import dumps
from server.learning.fold.replica import Replica
from server.learning.fold.replica_set import SETS
from server.learning.metrics.prequential import ClassificationMetrics, RegressionMetrics

PAUSE = 5.0
"""Seconds between two writes of a process."""

CURVE = 40
"""Most values of the stored curve, which the pages draw as a small picture."""

_COLUMNS = (
    "generation", "n", "scored", "skipped", "metric", "value", "rolling", "last_skip", "curve",
    "snapshot_n", "snapshot_at", "at",
)  # fmt: skip
_UPSERT = (
    f"INSERT INTO learning_modelstatus (model_id, {', '.join(_COLUMNS)}, drift_at)"
    f" SELECT id, {', '.join(['%s'] * len(_COLUMNS))}, %s FROM learning_model WHERE id = %s AND generation = %s"
    " ON CONFLICT (model_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS)
    # Drift that another process found stays, unless the model was rebuilt since.
    + ", drift_at = CASE WHEN excluded.drift_at IS NULL AND learning_modelstatus.generation = excluded.generation"
    " THEN learning_modelstatus.drift_at ELSE excluded.drift_at END"
    " WHERE learning_modelstatus.generation < excluded.generation"
    " OR (learning_modelstatus.generation = excluded.generation AND learning_modelstatus.n <= excluded.n)"
)


class _DriftTracker:
    """Drift detection of one model in this process. Each error is used once."""

    def __init__(self, generation: int, *, labels: bool) -> None:
        self.generation = generation
        self.detector = DriftDetector(labels=labels)
        self.labels = labels
        self.scored = 0
        self.written = (-1, -1)
        """Numbers of the last observation and of the newest snapshot in the last write."""

        self.drift_at: int | None = None

    def update(self, scored: int, recent: list[Any]) -> None:
        """Use the errors since the last call. If there are more than the rolling window holds, only the latest are used."""
        new = min(scored - self.scored, len(recent))
        for ahead, seen in zip(range(new - 1, -1, -1), recent[len(recent) - new :], strict=True):
            error = float(not seen) if self.labels else abs(seen[0] - seen[1])
            if math.isfinite(error) and self.detector.learn(error):
                self.drift_at = scored - ahead
        self.scored = scored


_trackers: dict[int, _DriftTracker] = {}
_written = 0.0


def write_due() -> None:
    """Write the status of the models that have learned since the last write, every :data:`PAUSE` seconds.

    Raises
    ------
    Unavailable
        If the database can't store them. They are written the next time.
    """
    global _written
    if time.monotonic() - _written >= PAUSE:
        _written = time.monotonic()
        write()


def write() -> int:
    """Write the status of changed models now. Return how many were written.

    Raises
    ------
    Unavailable
        As :func:`write_due`.
    """
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    rows: list[tuple[Any, ...]] = []
    noted: list[tuple[_DriftTracker, tuple[int, int]]] = []
    present: set[int] = set()
    for replicas in SETS.all():
        seen = []
        with replicas.try_lock() as held:
            present |= replicas.replicas.keys()
            for replica in list(replicas.replicas.values()) if held else ():
                tracker = _tracker_of(replica)
                if tracker.written != (replica.n, replica.snapshot_n):
                    recent = list(getattr(replica.metrics, "recent", ()))
                    seen.append((tracker, replica.model_id, recent, _columns(replica)))
        for tracker, model_id, recent, columns in seen:
            _, n, scored, *_, snapshot_n, _ = columns
            tracker.update(scored, recent)
            noted.append((tracker, (n, snapshot_n)))
            rows.append((*columns, now, tracker.drift_at, model_id, tracker.generation))
    for gone in _trackers.keys() - present:
        del _trackers[gone]
    if rows:
        rows.sort(key=itemgetter(-2))  # by model, so that two processes don't deadlock
        with transaction_for_writing(), connection.cursor() as cursor:
            cursor.executemany(_UPSERT, rows)
        for tracker, written in noted:
            tracker.written = written
    return len(rows)


def _tracker_of(replica: Replica) -> _DriftTracker:
    found = _trackers.get(replica.model_id)
    if found is None or found.generation != replica.generation:
        found = _DriftTracker(replica.generation, labels=isinstance(replica.metrics, ClassificationMetrics))
        _trackers[replica.model_id] = found
    return found


def _columns(replica: Replica) -> tuple[Any, ...]:
    metric, value, rolling = _main(replica.metrics)
    return (
        replica.generation, replica.n, replica.metrics.n, replica.skipped, metric, value, rolling,
        None if replica.last_skip is None else replica.last_skip["seq"], dumps(_curve(replica, metric)).decode(),
        replica.snapshot_n, connection.ops.adapt_datetimefield_value(replica.snapshot_at),
    )  # fmt: skip


def _main(scores: Any) -> tuple[str, float | None, float | None]:
    """Return name and value of the flavor's main metric, overall and over the rolling window."""
    name = {RegressionMetrics: "RMSE", ClassificationMetrics: "Accuracy"}.get(type(scores), "")
    if not name or not scores.n:
        return name, None, None
    return name, _finite(scores.values()[name]), _finite(scores.rolling()[name])


def _curve(replica: Replica, metric: str) -> list[float | None]:
    """Return the rolling metric over time: see :func:`thinned`."""
    history = getattr(replica.metrics, "history", None)
    column = f"rolling {metric}"
    if history is None or column not in history.columns or not replica.metrics.n:
        return []
    values = history.rows[history.columns.index(column) :: len(history.columns)].tolist()
    if not history.ns or history.ns[-1] != replica.metrics.n:
        values.append(replica.metrics.rolling()[metric])
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in thinned(values, CURVE)]


def thinned(values: list[float], most: int) -> list[float]:
    """Return at most ``most`` of the values, in order: the last, and of each stretch the least and the largest."""
    if len(values) <= most:
        return values
    earlier, stretches = values[:-1], (most - 1) // 2
    found: list[float] = []
    for number in range(stretches):
        stretch = range(number * len(earlier) // stretches, (number + 1) * len(earlier) // stretches)
        least, largest = min(stretch, key=earlier.__getitem__), max(stretch, key=earlier.__getitem__)
        found += [earlier[index] for index in sorted({least, largest})]
    return [*found, values[-1]]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
