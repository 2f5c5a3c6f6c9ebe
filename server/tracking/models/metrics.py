"""Metrics: a series for each run and key, which knows its latest point, and the points."""

from typing import ClassVar

from django.db import models

from server.tracking.models.names import LONGEST_KEY
from server.tracking.models.runs import Run


class LatestMetric(models.Model):
    """A metric of a run, with the point of the highest step, time and value, in this order, as MLflow takes it.

    Points refer to it, so a key is stored once.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="metrics")
    key = models.CharField(max_length=LONGEST_KEY)
    step = models.BigIntegerField()
    time_ms = models.BigIntegerField()
    value = models.FloatField()
    special = models.SmallIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "key"], name="latest_run_key")]


class Metric(models.Model):
    """A point of a metric. The same point is stored once, however often it is sent.

    ``value`` orders the points; ``special`` says which are not finite (:mod:`server.tracking.values`).
    """

    series = models.ForeignKey(
        LatestMetric, on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="points"
    )
    step = models.BigIntegerField()
    time_ms = models.BigIntegerField()
    value = models.FloatField()
    special = models.SmallIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "step", "time_ms", "value", "special"], name="metric_once")
        ]
