"""Models that runs logged, as MLflow 3 knows them."""

from typing import ClassVar

from django.db import models

from server.tracking.models.experiments import Experiment
from server.tracking.models.names import ACTIVE, LIFECYCLES, LONGEST_KEY, LONGEST_NAME, choices
from server.tracking.models.runs import Run


class LoggedModel(models.Model):
    """A model that a run logged. Its files are artifacts of its run, or its own."""

    PENDING, READY, FAILED = STATUSES = ("PENDING", "READY", "FAILED")

    uid = models.CharField(max_length=40, unique=True, help_text='"m-" and 32 hexadecimal digits')
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, db_index=False, related_name="logged_models")
    name = models.CharField(max_length=LONGEST_NAME)
    status = models.CharField(max_length=10, default=PENDING, choices=choices(*STATUSES))
    status_message = models.TextField(default="", blank=True)
    kind = models.CharField(max_length=LONGEST_NAME, default="", blank=True, help_text="MLflow's model_type")
    source_run = models.CharField(max_length=32, default="", blank=True, db_index=True)
    created_ms = models.BigIntegerField()
    changed_ms = models.BigIntegerField()
    lifecycle = models.CharField(max_length=8, default=ACTIVE, choices=choices(*LIFECYCLES))
    deleted_ms = models.BigIntegerField(null=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["experiment", "-created_ms", "-id"], name="logged_model_created"),
            models.Index(
                fields=["deleted_ms"], name="logged_model_deleted", condition=models.Q(deleted_ms__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.uid


class LoggedModelTag(models.Model):
    """A tag of a logged model."""

    model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, db_index=False, related_name="tags")
    key = models.CharField(max_length=LONGEST_KEY)
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "key"], name="logged_model_tag_key")]


class LoggedModelParam(models.Model):
    """A param of a logged model."""

    model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, db_index=False, related_name="params")
    key = models.CharField(max_length=LONGEST_KEY)
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "key"], name="logged_model_param_key")]


class LoggedModelMetric(models.Model):
    """A metric of a logged model, on a data set or on none."""

    model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, db_index=False, related_name="metrics")
    run = models.ForeignKey(Run, on_delete=models.CASCADE)
    key = models.CharField(max_length=LONGEST_KEY)
    step = models.BigIntegerField()
    time_ms = models.BigIntegerField()
    value = models.FloatField()
    special = models.SmallIntegerField()
    dataset_name = models.CharField(max_length=LONGEST_NAME, default="", blank=True)
    dataset_digest = models.CharField(max_length=100, default="", blank=True)
    digest = models.CharField(max_length=64, help_text="SHA-256 of all the others, so that it is stored once")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "digest"], name="logged_model_metric_once")]


class RunOutput(models.Model):
    """A logged model that a run made."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="outputs")
    model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="outputs")
    step = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "model"], name="output_run_model")]
