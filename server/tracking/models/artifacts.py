"""Artifacts of runs, and how far the numbered lines of spools have arrived."""

from typing import ClassVar

from django.db import models

from server.tracking.models.logged_models import LoggedModel
from server.tracking.models.runs import Run

LONGEST_PATH = 1_000


class Artifact(models.Model):
    """A file of a run, or of a logged model. Its content is where :mod:`server.contents` keeps it, named by its SHA-256."""

    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, db_index=False, related_name="artifacts")
    model = models.ForeignKey(
        LoggedModel, null=True, on_delete=models.CASCADE, db_index=False, related_name="artifacts"
    )
    path = models.CharField(max_length=LONGEST_PATH, help_text="Parts divided by /")
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.BigIntegerField(help_text="Bytes")
    made_ms = models.BigIntegerField()
    stored = models.BooleanField(default=False, help_text="Whether its content has arrived")
    owner_id = models.BigIntegerField(null=True, help_text="User whose quota counts it")
    token_id = models.BigIntegerField(null=True, help_text="Token whose quota counts it")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "path"], name="artifact_run_path"),
            models.UniqueConstraint(fields=["model", "path"], name="artifact_model_path"),
        ]


class Writer(models.Model):
    """A spool file that sends numbered lines to a run."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="writers")
    writer = models.CharField(max_length=64)
    next = models.BigIntegerField(default=0, help_text="Number of the next line")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "writer"], name="writer_run_writer")]
