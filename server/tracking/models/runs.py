"""Runs: trainings that happen elsewhere, with params, tags, links and records of their domain."""

from typing import ClassVar

from django.db import models

from server.tracking.models.experiments import Experiment
from server.tracking.models.names import ACTIVE, LIFECYCLES, LONGEST_KEY, LONGEST_NAME, choices


class Run(models.Model):
    """A training. Whoever starts it may choose its identifier, so that it can be sent twice."""

    RUNNING, SCHEDULED, FINISHED, FAILED, KILLED = STATUSES = (
        "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED",
    )  # fmt: skip
    ENDED = (FINISHED, FAILED, KILLED)

    uid = models.CharField(max_length=32, unique=True, help_text="32 hexadecimal digits")
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, db_index=False, related_name="runs")
    name = models.CharField(max_length=LONGEST_NAME, default="", blank=True)
    status = models.CharField(max_length=10, default=RUNNING, choices=choices(*STATUSES))
    started_ms = models.BigIntegerField()
    ended_ms = models.BigIntegerField(null=True)
    lifecycle = models.CharField(max_length=8, default=ACTIVE, choices=choices(*LIFECYCLES))
    deleted_ms = models.BigIntegerField(null=True)
    parent = models.CharField(max_length=32, default="", blank=True, help_text="Identifier of the run it belongs to")
    user_name = models.CharField(max_length=LONGEST_NAME, default="", blank=True, help_text="As the training says")
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)
    token_id = models.BigIntegerField(null=True, help_text="Token whose quota counts it")
    heard_ms = models.BigIntegerField(help_text="When something last arrived, by the server's clock; 10 s exact")
    summarized = models.BooleanField(default=False, help_text="Whether its RunSummary is current")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["experiment", "lifecycle", "-started_ms", "-id"], name="run_experiment"),
            models.Index(fields=["lifecycle", "-started_ms", "-id"], name="run_started"),
            models.Index(fields=["parent"], name="run_parent", condition=~models.Q(parent="")),
            models.Index(fields=["deleted_ms"], name="run_deleted", condition=models.Q(deleted_ms__isnull=False)),
            models.Index(fields=["heard_ms"], name="run_unsummarized", condition=models.Q(summarized=False)),
        ]

    def __str__(self) -> str:
        return self.uid


class RunSummary(models.Model):
    """What lists of runs show: JSON of params, tags and the latest metrics. It is derived from their tables."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="summary")
    params = models.TextField(help_text="JSON: key to value")
    metrics = models.TextField(help_text='JSON: key to value; "NaN", "Infinity" and "-Infinity" are texts')
    tags = models.TextField(help_text="JSON: key to value")


class Param(models.Model):
    """A param of a run. It may be written again with the same value only."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="params")
    key = models.CharField(max_length=LONGEST_KEY)
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "key"], name="param_run_key")]


class RunTag(models.Model):
    """A tag of a run. It can be overwritten."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="tags")
    key = models.CharField(max_length=LONGEST_KEY)
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "key"], name="run_tag_key")]


class RunLink(models.Model):
    """What a run used or made on this server."""

    KINDS = ("model", "stream", "calculation", "cell")

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="links")
    kind = models.CharField(max_length=12, choices=choices(*KINDS))
    name = models.CharField(max_length=200)
    at = models.BigIntegerField(null=True, help_text="Observation; null: not of one")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "kind", "name", "at"], name="link_run_kind_name_at"),
            models.UniqueConstraint(
                fields=["run", "kind", "name"], name="link_run_kind_name", condition=models.Q(at__isnull=True)
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["kind", "name"], name="link_kind_name")]


class DomainRecord(models.Model):
    """Metrics of a domain, such as of a neural operator, as one document."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="domains")
    domain = models.CharField(max_length=LONGEST_KEY)
    step = models.BigIntegerField(null=True)
    time_ms = models.BigIntegerField()
    document = models.TextField(help_text="JSON")
    digest = models.CharField(max_length=64, help_text="SHA-256 of step, time and document, so that it is stored once")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "domain", "digest"], name="domain_run_domain_digest")
        ]
