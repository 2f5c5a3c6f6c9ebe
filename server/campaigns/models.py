"""Tables of compositions, campaigns, their decisions, and the runs of these."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from server.calculations.models import Calculation
from server.campaigns.evaluation_table import Evaluation as Evaluation
from server.streams.models import Stream


class Composition(models.Model):
    """A nominal composition, such as Zr49Cu49Al2."""

    name = models.CharField(max_length=100, unique=True)
    key = models.CharField(max_length=300, unique=True, help_text="Elements by the alphabet with their shares of 100")
    notes = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)
    deleted_at = models.DateTimeField(null=True, help_text="When it was deleted, if calculations had used it")

    def __str__(self) -> str:
        return self.name


class CompositionAlias(models.Model):
    """Another way to write a composition, such as Cu49Zr49Al2."""

    composition = models.ForeignKey(Composition, on_delete=models.CASCADE, related_name="aliases")
    text = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.text


class Campaign(models.Model):
    """What is to be learned, how well, at which cost, and how far it is."""

    ACTIVE, PAUSED, STOPPED, FINISHED = "active", "paused", "stopped", "finished"
    STATES = (ACTIVE, PAUSED, STOPPED, FINISHED)
    EVERY, NEW, NONE = "every", "new", "none"
    APPROVALS = (EVERY, NEW, NONE)

    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(default="", blank=True)
    stream = models.ForeignKey(Stream, null=True, on_delete=models.SET_NULL)
    stream_name = models.CharField(max_length=200, help_text="Kept if the stream is deleted")
    models_json = models.TextField(help_text="JSON: names of models of the stream; the first one decides")
    compositions = models.ManyToManyField(Composition, through="CampaignComposition", related_name="campaigns")
    targets = models.TextField(help_text="JSON: bond type to RMSE in eV")
    budget = models.TextField(default="{}", help_text="JSON: calculations, node_hours; null: no limit")
    thresholds = models.TextField(default="{}", help_text="JSON")
    clusters = models.TextField(default="[]", help_text="JSON: names of clusters; empty: any")
    programs = models.TextField(default="{}", help_text="JSON: stage to program and parameters")
    approval = models.CharField(max_length=10, default=EVERY)
    pause_between_rounds = models.IntegerField(default=0, help_text="Seconds")
    policy = models.CharField(max_length=100, default="families")
    seed = models.BigIntegerField(default=0)
    state = models.CharField(max_length=10, default=ACTIVE, db_index=True)
    reason = models.TextField(default="", blank=True, help_text="Why it is in this state, and what to do")
    next_at = models.DateTimeField(null=True, help_text="Not before this time is a round begun")
    leased_until = models.DateTimeField(null=True, help_text="Until then a process works on it")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class CampaignComposition(models.Model):
    """A composition of a campaign, at its place in the order."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE)
    composition = models.ForeignKey(Composition, on_delete=models.PROTECT)
    place = models.IntegerField()

    class Meta:
        ordering: ClassVar = ["place"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "composition"], name="campaign_composition"),
        ]


class Decision(models.Model):
    """What a policy chose for one round, on what it was based, and what people made of it."""

    PROPOSED, APPROVED, REJECTED, SUPERSEDED = "proposed", "approved", "rejected", "superseded"
    STATES = (PROPOSED, APPROVED, REJECTED, SUPERSEDED)

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, db_index=False, related_name="decisions")
    number = models.IntegerField(help_text="The round: 1, 2, 3 …")
    settings = models.TextField(help_text="JSON: what the campaign's settings were")
    made_from = models.TextField(
        help_text="JSON: position, retraction, runs: up to where the log and the tables were read"
    )
    situation = models.TextField(help_text="Canonical JSON")
    choice = models.TextField(help_text="Canonical JSON")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the situation and the choice, in hex")
    policy = models.CharField(max_length=100)
    action = models.CharField(max_length=10)
    state = models.CharField(max_length=12, default=PROPOSED)
    edited = models.TextField(null=True, help_text="JSON: the list of picks as a person changed it")
    decided_by = models.CharField(max_length=150, default="", blank=True)
    decided_at = models.DateTimeField(null=True)
    comment = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, help_text="When all of its runs had ended")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "number"], name="decision_campaign_number"),
            models.UniqueConstraint(
                fields=["campaign"], condition=Q(state="proposed"), name="decision_one_open_proposal"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id}/{self.number}"


class Run(models.Model):
    """One calculation of a round: a chain that ends with a labeled cell."""

    SCHEDULED, RUNNING, DONE, FAILED = "SCHEDULED", "RUNNING", "DONE", "FAILED"
    STATES = (SCHEDULED, RUNNING, DONE, FAILED)

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, db_index=False, related_name="runs")
    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="runs")
    number = models.IntegerField(help_text="1, 2, 3 … in its campaign")
    stage = models.CharField(max_length=10, help_text="explore, augment or label")
    composition = models.ForeignKey(Composition, null=True, on_delete=models.PROTECT)
    family = models.CharField(max_length=200, default="", blank=True)
    deformation = models.IntegerField(null=True)
    cell = models.CharField(max_length=200, help_text="Name of the cell that it labels")
    seed = models.BigIntegerField(default=0)
    why = models.TextField(default="", blank=True)
    cost = models.FloatField(default=0.0, help_text="Node-hours, as expected")
    expected_gain = models.FloatField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "number"], name="run_campaign_number"),
            models.UniqueConstraint(fields=["campaign", "cell"], name="run_campaign_cell"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id}/{self.number}"


class RunAttempt(models.Model):
    """One try at a run: a calculation, and what became of it. A person, or a rule, may start another one.

    ``settled`` is the number of the first decision that took its end into account, so that a decision can be recomputed.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="attempts")
    number = models.IntegerField(help_text="1, 2, 3 …")
    stage = models.CharField(max_length=10, help_text="The stage from which it starts")
    calculation = models.ForeignKey(Calculation, null=True, on_delete=models.SET_NULL)
    calculation_number = models.BigIntegerField(null=True, help_text="Kept if the calculation is deleted")
    started_by = models.CharField(max_length=150, default="", blank=True, help_text="Empty: the campaign itself")
    state = models.CharField(max_length=10, default=Run.SCHEDULED)
    cause = models.CharField(max_length=40, default="", blank=True, help_text="Why it failed, to count by")
    reason = models.TextField(default="", blank=True)
    hours = models.FloatField(default=0.0, help_text="Node-hours, as measured")
    first = models.BigIntegerField(null=True, help_text="Number of the first observation of the cell")
    last = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    settled = models.IntegerField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "number"], name="attempt_run_number")]
        indexes: ClassVar = [
            models.Index(fields=["state"], name="attempt_open", condition=Q(state__in=["SCHEDULED", "RUNNING"])),
        ]
