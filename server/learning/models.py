"""The tables of models, their snapshots and the predictions that wait for a label."""

from django.db import models

from server.streams.models import Stream


class Model(models.Model):
    """An initial estimator attached to a stream. Its state after observation n is a fold over the log."""

    READY, BACKFILLING, REBUILDING, FAILED = "ready", "backfilling", "rebuilding", "failed"
    QUARANTINED = "quarantined"

    name = models.CharField(max_length=200, unique=True)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE)
    flavor = models.CharField(max_length=20)
    recipe = models.CharField(max_length=100, default="", blank=True)
    parameters = models.JSONField(default=dict)
    initial = models.BinaryField(help_text="The initial estimator, with its random state")
    window = models.IntegerField(default=100, help_text="Observations in the rolling metrics")
    since = models.BigIntegerField(default=0, help_text="The fold starts after this observation")
    generation = models.IntegerField(default=1, help_text="Grows with every rebuild")
    live_since = models.BigIntegerField(default=0, help_text="Predictions after this one were logged by this fold")
    compared_after = models.BigIntegerField(
        default=0, db_default=0, help_text="Predictions up to this one were logged with another arithmetic"
    )
    retraction = models.BigIntegerField(default=0, help_text="Id of the last retraction that the fold leaves out")
    status = models.CharField(max_length=12, default=READY)
    progress = models.BigIntegerField(default=0, help_text="How far a backfill or rebuild has come")
    error = models.TextField(default="", blank=True)
    leased_until = models.DateTimeField(null=True, help_text="A process works on the backfill until then")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="Who may change it, by a number that is never given twice")
    token_id = models.BigIntegerField(null=True, help_text="The token that it was made with, whose quota it counts for")

    def __str__(self) -> str:
        return self.name


class Arithmetic(models.Model):
    """What the folds of this database are made with: one row."""

    architecture = models.CharField(max_length=40, help_text="x86-64-v3 or arm64: see tailrace.arithmetic")
    versions = models.CharField(max_length=200, help_text="Of the libraries that the models were folded with first")
    since = models.DateTimeField(auto_now=True)


class Quarantine(models.Model):
    """A time in which a model learned nothing, because a call of its estimator was stopped or ended its process.

    Its fold skips observations ``after + 1 … upto``; while it lasts, ``upto`` is null.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE)
    verdict = models.CharField(max_length=64, unique=True, help_text="The supervisor's verdict that it follows from")
    after = models.BigIntegerField()
    upto = models.BigIntegerField(null=True)
    call = models.CharField(max_length=20, help_text="What was asked of the model")
    observation = models.BigIntegerField(null=True, help_text="The observation that it was at")
    reason = models.TextField()
    at = models.DateTimeField(auto_now_add=True)
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=150, default="", blank=True)


class Snapshot(models.Model):
    """A stored replica: the state of one generation of a model after observation ``seq``."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, db_index=False)
    generation = models.IntegerField()
    seq = models.BigIntegerField()
    state = models.BinaryField()
    versions = models.CharField(max_length=200, help_text="What it was written with; another version replays")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "generation", "seq"], name="snapshot_model_seq")]


class Prediction(models.Model):
    """A prediction with an identifier, kept with its features until its label arrives.

    An identifier belongs to its stream, or (:attr:`of_model`, as the riverapi protocol has it) to its model alone: nobody
    can take one away from another stream.
    """

    identifier = models.CharField(max_length=200)
    model = models.ForeignKey(Model, on_delete=models.CASCADE)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    of_model = models.BooleanField(default=False, db_default=False, help_text="The identifier is its model's alone")
    x = models.TextField()
    prediction = models.TextField()
    at = models.BigIntegerField(help_text="The last observation that the model had learned")
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    seq = models.BigIntegerField(null=True, help_text="The observation that its label became")
    owner_id = models.BigIntegerField(null=True, help_text="Who asked for it, whose quota it counts for")
    token_id = models.BigIntegerField(null=True, help_text="The token that asked, whose quota it counts for")
    xid = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["identifier", "model"], name="prediction_identifier_model"),
            models.UniqueConstraint(
                fields=["identifier", "stream"],
                condition=models.Q(of_model=False),
                name="prediction_identifier_stream",
            ),
        ]
        # Without it the deletion of any stream reads all kept predictions, to find that none refers to it.
        indexes = [models.Index(fields=["stream"], name="prediction_stream")]


class Standing(models.Model):
    """How well a model does, as whoever watches the server reads it: written beside the requests, lost without harm."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True)
    generation = models.IntegerField()
    n = models.BigIntegerField(help_text="The last observation that the model had learned")
    scored = models.BigIntegerField(help_text="Observations that the metrics are over")
    skipped = models.BigIntegerField(help_text="Observations that the model passed over")
    metric = models.CharField(max_length=20, help_text="Name of the flavor's main metric; empty where it has none")
    value = models.FloatField(null=True)
    rolling = models.FloatField(null=True, help_text="The same over the rolling window")
    drift_at = models.BigIntegerField(null=True, help_text="How many had been scored when drift was found last")
    snapshot_n = models.BigIntegerField(help_text="The last observation in the newest snapshot")
    snapshot_at = models.DateTimeField(null=True, help_text="When that was written; null where there is none")
    at = models.DateTimeField()
