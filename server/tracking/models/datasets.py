"""Data sets that runs used, as MLflow's clients describe them."""

from typing import ClassVar

from django.db import models

from server.tracking.models.experiments import Experiment
from server.tracking.models.names import LONGEST_NAME
from server.tracking.models.runs import Run


class Dataset(models.Model):
    """A data set. It is described here, and kept elsewhere."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, db_index=False, related_name="datasets")
    name = models.CharField(max_length=LONGEST_NAME)
    digest = models.CharField(max_length=100)
    source_type = models.CharField(max_length=100)
    source = models.TextField()
    schema = models.TextField(null=True)
    profile = models.TextField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "name", "digest"], name="dataset_name_digest")
        ]


class RunInput(models.Model):
    """A data set or a logged model that a run used."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="inputs")
    dataset = models.ForeignKey(Dataset, null=True, on_delete=models.CASCADE, related_name="inputs")
    model = models.ForeignKey("LoggedModel", null=True, on_delete=models.CASCADE, related_name="inputs")
    tags = models.TextField(default="{}", help_text="JSON: key to value")
    context = models.CharField(max_length=500, default="", blank=True, help_text="What it was used for; also a tag")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "dataset"], name="input_run_dataset"),
            models.UniqueConstraint(fields=["run", "model"], name="input_run_model"),
        ]
