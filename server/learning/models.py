"""Tables of models: models, snapshots, quarantines, kept predictions and model status."""

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
    window = models.IntegerField(default=100, help_text="Number of observations in the rolling metrics")
    since = models.BigIntegerField(default=0, help_text="The fold starts after the observation with this number")
    generation = models.IntegerField(default=1, help_text="Increases with every rebuild")
    live_since = models.BigIntegerField(
        default=0, help_text="This fold logged the predictions of all observations after this number"
    )
    compared_after = models.BigIntegerField(
        default=0, db_default=0, help_text="The predictions up to this number were logged with another arithmetic"
    )
    retraction = models.BigIntegerField(default=0, help_text="ID of the last retraction that the fold excludes")
    status = models.CharField(max_length=12, default=READY)
    progress = models.BigIntegerField(
        default=0, help_text="Number of the last observation that a backfill or rebuild has learned"
    )
    error = models.TextField(default="", blank=True)
    leased_until = models.DateTimeField(null=True, help_text="Until this time, the backfill is leased to one process")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="ID of the user who may change it. IDs are never reused")
    token_id = models.BigIntegerField(
        null=True, help_text="ID of the token that created it; it counts toward this token's quota"
    )

    def __str__(self) -> str:
        return self.name


class Arithmetic(models.Model):
    """The arithmetic that this database's models are folded with, in one row."""

    architecture = models.CharField(max_length=40, help_text="x86-64-v3 or arm64: see tailrace.estimators.arithmetic")
    versions = models.CharField(max_length=200, help_text="Versions of the libraries that first computed the models")
    since = models.DateTimeField(auto_now=True)


class Quarantine(models.Model):
    """A period in which a model learns nothing, because a call of its estimator was stopped or ended its process.

    Its fold skips observations ``after + 1 … upto``; while it lasts, ``upto`` is null.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE)
    verdict = models.CharField(max_length=64, unique=True, help_text="ID of the supervisor's verdict that caused it")
    after = models.BigIntegerField()
    upto = models.BigIntegerField(null=True)
    call = models.CharField(max_length=20, help_text="The call that was stopped, such as learn")
    observation = models.BigIntegerField(null=True, help_text="Number of the observation that the call was for")
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
    versions = models.CharField(
        max_length=200, help_text="Versions of the libraries that wrote it. Other versions replay the log instead"
    )
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "generation", "seq"], name="snapshot_model_seq")]


class Prediction(models.Model):
    """A prediction with an identifier, kept with its features until its label arrives.

    An identifier is unique within its stream. With :attr:`of_model`, for the riverapi protocol, it is unique within its model
    only. So no user can block identifiers of another stream.
    """

    identifier = models.CharField(max_length=200)
    model = models.ForeignKey(Model, on_delete=models.CASCADE)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    of_model = models.BooleanField(
        default=False, db_default=False, help_text="True if the identifier is unique within its model only"
    )
    x = models.TextField()
    prediction = models.TextField()
    at = models.BigIntegerField(help_text="Number of the last observation that the model had learned")
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    seq = models.BigIntegerField(null=True, help_text="Number of the observation that its label was stored as")
    owner_id = models.BigIntegerField(
        null=True, help_text="ID of the user who requested it; it counts toward their quota"
    )
    token_id = models.BigIntegerField(
        null=True, help_text="ID of the token that requested it; it counts toward this token's quota"
    )
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
        # Without this index, the deletion of any stream would read all kept predictions.
        indexes = [models.Index(fields=["stream"], name="prediction_stream")]


class ModelStatus(models.Model):
    """Latest metrics of one model, for monitoring. Each process writes it in the background; a lost row does no harm."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True)
    generation = models.IntegerField()
    n = models.BigIntegerField(help_text="Number of the last observation that the model had learned")
    scored = models.BigIntegerField(help_text="Number of observations that were scored")
    skipped = models.BigIntegerField(help_text="Number of observations that the model skipped")
    metric = models.CharField(max_length=20, help_text="Name of the flavor's main metric; empty if it has none")
    value = models.FloatField(null=True)
    rolling = models.FloatField(null=True, help_text="The same metric over the rolling window")
    curve = models.JSONField(
        default=list, help_text="At most 40 of its values, from the first to the last, with extremes"
    )
    last_skip = models.BigIntegerField(null=True, help_text="Number of the last observation that the model skipped")
    drift_at = models.BigIntegerField(null=True, help_text="Number of scored observations when drift was last detected")
    snapshot_n = models.BigIntegerField(help_text="Number of the last observation in the newest snapshot")
    snapshot_at = models.DateTimeField(
        null=True, help_text="When the newest snapshot was written; null if there is none"
    )
    at = models.DateTimeField()


class Record(models.Model):
    """How far a model's record has come. One process at a time continues it (:mod:`server.learning.records`)."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True)
    generation = models.IntegerField(help_text="The generation of the fold that it is of")
    retraction = models.BigIntegerField(default=0, help_text="Id of the last retraction that this fold leaves out")
    upto = models.BigIntegerField(help_text="The last observation that is recorded")
    holder = models.CharField(max_length=32, default="", help_text="The process that continues it")
    leased_until = models.DateTimeField(null=True)


class RecordBlock(models.Model):
    """A part of a model's record: what it predicted for ``first … first + count - 1`` before it learned them.

    Derived from the log. :mod:`server.learning.records.columns` has the format of ``columns``.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE, db_index=False)
    number = models.IntegerField(help_text="Position among the model's blocks, by observation number")
    first = models.BigIntegerField(help_text="Number of its first observation")
    count = models.IntegerField(help_text="Its observations")
    summary = models.BinaryField(help_text="Least, largest, mean and last value of each few observations")
    segments = models.TextField(default="[]", help_text="JSON: names of the segments in by_segment, by their index")
    segment_granule = models.IntegerField(
        default=0, help_text="Observations that a row of by_segment stands for; 0: too many segments"
    )
    by_segment = models.BinaryField(default=b"", help_text="The same as summary, for each segment")
    columns = models.BinaryField(help_text="The last column, since SQLite reads a row up to the columns that it needs")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="recordblock_model_number")]


class Badge(models.Model):
    """Who may see a model's badge without signing in: everybody, or whoever knows the badge's address."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True)
    is_public = models.BooleanField(default=False, help_text="Whether everybody may see it")
    key = models.CharField(
        max_length=43, default="", blank=True, help_text="Random part of the badge's own address; empty: it has none"
    )


class ImportedModel(models.Model):
    """Where a model that another server had trained came from, and what that server said of it. Our fold begins with its state."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True)
    source = models.CharField(max_length=40, help_text="The other server's software, such as django-river-ml")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the state that was imported")
    metrics = models.JSONField(default=dict, help_text="Its metrics there, by name; null if not finite")
    calls = models.JSONField(default=dict, help_text="Number and mean duration (ns) of its calls there, by kind")
    at = models.DateTimeField(auto_now_add=True)


class Verification(models.Model):
    """The latest verification of a model that somebody asked for on its page (:mod:`server.learning.verification`)."""

    WAITING, RUNNING, SAME, DIFFERS, FAILED = "waiting", "running", "same", "differs", "failed"

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True)
    status = models.CharField(max_length=8, default=WAITING)
    n = models.BigIntegerField(default=0, help_text="Number of the observation that the replay has reached")
    upto = models.BigIntegerField(help_text="Number of the last observation when it was asked for")
    result = models.TextField(
        default="", blank=True, help_text="One sentence: what was compared, or the first difference"
    )
    asked_by = models.CharField(max_length=150, default="", blank=True)
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True, help_text="A process works on it until then")
