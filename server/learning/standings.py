"""How the models stand: written down by each process for those that it has in memory, beside the requests.

Read in one query for all models (:mod:`server.operations.model_metrics`), the same on every worker and pod.
"""

import math
import time
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from django.db import connection

from server.learning.drift import Detector
from server.learning.replica import Replica
from server.learning.replicaset import SETS
from server.learning.scores import LabelScores, RegressionScores
from server.streams.locks import transaction_for_writing

PAUSE = 5.0
"""Seconds between two times that a process writes."""

_COLUMNS = ("generation", "n", "scored", "skipped", "metric", "value", "rolling", "snapshot_n", "snapshot_at", "at")
_UPSERT = (
    f"INSERT INTO learning_standing (model_id, {', '.join(_COLUMNS)}, drift_at)"
    f" SELECT id, {', '.join(['%s'] * len(_COLUMNS))}, %s FROM learning_model WHERE id = %s AND generation = %s"
    " ON CONFLICT (model_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS)
    # What another process found remains, unless the model was rebuilt since.
    + ", drift_at = CASE WHEN excluded.drift_at IS NULL AND learning_standing.generation = excluded.generation"
    " THEN learning_standing.drift_at ELSE excluded.drift_at END"
    " WHERE learning_standing.generation < excluded.generation"
    " OR (learning_standing.generation = excluded.generation AND learning_standing.n <= excluded.n)"
)


class _Follower:
    """What this process knows of one model's errors: each that it sees is learned once."""

    def __init__(self, generation: int, *, labels: bool) -> None:
        self.generation = generation
        self.detector = Detector(labels=labels)
        self.labels = labels
        self.scored = 0
        self.written = (-1, -1)
        """Number of the last observation and of the newest snapshot's, as they were written last."""

        self.drift_at: int | None = None

    def follow(self, scored: int, recent: list[Any]) -> None:
        """Learn the errors since the last time. Of more than the rolling window holds, the latest."""
        new = min(scored - self.scored, len(recent))
        for ahead, seen in zip(range(new - 1, -1, -1), recent[len(recent) - new :], strict=True):
            error = float(not seen) if self.labels else abs(seen[0] - seen[1])
            if math.isfinite(error) and self.detector.learn(error):
                self.drift_at = scored - ahead
        self.scored = scored


_followers: dict[int, _Follower] = {}
_written = 0.0


def write_due() -> None:
    """Write the standings of the models that learned something since the last time, if it is time.

    Raises
    ------
    Unavailable
        If the database can't store them; they are written the next time.
    """
    global _written
    if time.monotonic() - _written >= PAUSE:
        _written = time.monotonic()
        write()


def write() -> int:
    """Write them now, and return how many there were.

    Raises
    ------
    Unavailable
        As :func:`write_due`.
    """
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    rows: list[tuple[Any, ...]] = []
    noted: list[tuple[_Follower, tuple[int, int]]] = []
    present: set[int] = set()
    for replicas in SETS.all():
        seen = []
        with replicas.briefly() as held:
            present |= replicas.replicas.keys()
            for replica in list(replicas.replicas.values()) if held else ():
                follower = _follower(replica)
                if follower.written != (replica.n, replica.snapshot_n):
                    recent = list(getattr(replica.scores, "recent", ()))
                    seen.append((follower, replica.model_id, recent, _columns(replica)))
        for follower, model_id, recent, columns in seen:
            _, n, scored, *_, snapshot_n, _ = columns
            follower.follow(scored, recent)
            noted.append((follower, (n, snapshot_n)))
            rows.append((*columns, now, follower.drift_at, model_id, follower.generation))
    for gone in _followers.keys() - present:
        del _followers[gone]
    if rows:
        rows.sort(key=itemgetter(-2))  # by model: two processes at once don't wait for one another in a circle
        with transaction_for_writing(), connection.cursor() as cursor:
            cursor.executemany(_UPSERT, rows)
        for follower, written in noted:
            follower.written = written
    return len(rows)


def _follower(replica: Replica) -> _Follower:
    found = _followers.get(replica.model_id)
    if found is None or found.generation != replica.generation:
        found = _Follower(replica.generation, labels=isinstance(replica.scores, LabelScores))
        _followers[replica.model_id] = found
    return found


def _columns(replica: Replica) -> tuple[Any, ...]:
    metric, value, rolling = _main(replica.scores)
    return (
        replica.generation, replica.n, replica.scores.n, replica.skipped, metric, value, rolling,
        replica.snapshot_n, connection.ops.adapt_datetimefield_value(replica.snapshot_at),
    )  # fmt: skip


def _main(scores: Any) -> tuple[str, float | None, float | None]:
    """The flavor's main metric, overall and over the rolling window."""
    name = {RegressionScores: "RMSE", LabelScores: "Accuracy"}.get(type(scores), "")
    if not name or not scores.n:
        return name, None, None
    return name, _finite(scores.values()[name]), _finite(scores.rolling()[name])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
