"""The table of evaluations."""

from typing import ClassVar

from django.db import models


class Evaluation(models.Model):
    """An evaluation of a model of a campaign: what was asked, what it was made from, and what came out."""

    WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
    STATES = (WAITING, RUNNING, DONE, FAILED)

    campaign = models.ForeignKey(
        "campaigns.Campaign", on_delete=models.CASCADE, db_index=False, related_name="evaluations"
    )
    number = models.IntegerField(help_text="1, 2, 3 … in its campaign")
    kind = models.CharField(max_length=30)
    asked = models.TextField(help_text="JSON: model, database, cell, folds, seed")
    made_from = models.TextField(
        default="{}", help_text="JSON: position, retraction, fingerprints of the database and the recipe, versions"
    )
    result = models.TextField(null=True, help_text="Canonical JSON")
    fingerprint = models.CharField(max_length=64, default="", blank=True, help_text="SHA-256 of the result, in hex")
    state = models.CharField(max_length=10, default=WAITING, db_index=True)
    reason = models.TextField(default="", blank=True, help_text="Why it failed")
    progress = models.FloatField(default=0.0, help_text="0 to 1")
    leased_until = models.DateTimeField(null=True, help_text="Until then a process works on it")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "campaigns"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "number"], name="evaluation_campaign_number"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id}/{self.number}"
