"""Experiments: what groups runs."""

from typing import ClassVar

from django.db import models

from server.tracking.models.names import ACTIVE, LIFECYCLES, LONGEST_KEY, LONGEST_NAME, choices


class Experiment(models.Model):
    """A group of runs. Number 0 is named *Default* and is made when it is first needed, as MLflow's."""

    name = models.CharField(max_length=LONGEST_NAME, unique=True)
    description = models.TextField(default="", blank=True)
    lifecycle = models.CharField(max_length=8, default=ACTIVE, choices=choices(*LIFECYCLES))
    deleted_ms = models.BigIntegerField(null=True)
    created_ms = models.BigIntegerField()
    changed_ms = models.BigIntegerField()
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class ExperimentTag(models.Model):
    """A tag of an experiment."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, db_index=False, related_name="tags")
    key = models.CharField(max_length=LONGEST_KEY)
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["experiment", "key"], name="experiment_tag_key")]
