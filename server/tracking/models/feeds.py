"""Feeds: the finished runs of an experiment as observations of a stream."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from server.streams.models import Stream
from server.tracking.models.experiments import Experiment
from server.tracking.models.names import LONGEST_KEY, choices
from server.tracking.models.runs import Run


class Feed(models.Model):
    """What of each finished run of an experiment is posted to a stream: params as features, a metric or the wall time as target."""

    NUMBER, CATEGORY = KINDS = ("number", "category")
    LAST, LEAST, LARGEST = VALUES = ("last", "min", "max")

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, db_index=False, related_name="feeds")
    stream = models.ForeignKey(Stream, null=True, on_delete=models.SET_NULL, related_name="+")
    stream_name = models.CharField(max_length=200, help_text="Kept if the stream is deleted")
    params = models.TextField(help_text="JSON: param to kind")
    metric = models.CharField(max_length=LONGEST_KEY, default="", blank=True, help_text="Empty: the wall time, s")
    value = models.CharField(max_length=4, default=LAST, choices=choices(*VALUES), help_text="Which one of the metric")
    leased_ms = models.BigIntegerField(default=0, help_text="Until then a process works on it")
    created_ms = models.BigIntegerField()
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "stream_name"], name="feed_experiment_stream")
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id}/{self.stream_name}"


class FeedPoint(models.Model):
    """A finished run of a feed's experiment, and what became of it."""

    DUE, POSTED, LEFT_OUT = STATES = ("due", "posted", "left_out")

    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, db_index=False, related_name="points")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="feed_points")
    state = models.CharField(max_length=8, default=DUE, choices=choices(*STATES))
    asked = models.IntegerField(default=0, help_text="Increases whenever it is to be looked at again")
    seq = models.BigIntegerField(null=True, help_text="Number of its observation, once it is posted")
    reason = models.TextField(default="", blank=True, help_text="Why it is left out")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["feed", "run"], name="feed_point_feed_run")]
        indexes: ClassVar = [
            models.Index(fields=["feed", "state", "id"], name="feed_point_feed_state"),
            models.Index(fields=["feed"], name="feed_point_due", condition=Q(state="due")),
        ]
