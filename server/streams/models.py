"""Tables of streams and their logs.

The log is stored in *batches*: one row with the points of one commit, which is never changed. Storing one row per observation
costs ten times as much to write and five times as much to read.
"""

from django.db import models


class Stream(models.Model):
    """A named, append-only log of observations, numbered 1, 2, 3 … without gaps."""

    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(default="", blank=True)
    target_name = models.CharField(max_length=200, default="y")
    target_unit = models.CharField(max_length=50, default="", blank=True)
    target_kind = models.CharField(max_length=10, default="any")
    features = models.JSONField(null=True, help_text="Feature name to kind; null if the features are not declared")
    segment = models.CharField(max_length=200, null=True)
    descriptor = models.CharField(
        max_length=200, null=True, help_text="Name of the descriptor that computes the features of each observation"
    )
    head = models.BigIntegerField(default=0, help_text="Number of the last observation")
    whole_after = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Not all observations up to this number are still kept, so no fold can start before it",
    )
    dropped = models.BigIntegerField(default=0, db_default=0, help_text="No observation up to this number is kept")
    expected_every = models.IntegerField(
        null=True, help_text="Seconds within which the next observation is expected; null if none is expected"
    )
    grace = models.IntegerField(
        default=0, db_default=0, help_text="Seconds to wait after expected_every before the stream counts as silent"
    )
    epoch = models.BigIntegerField(default=0, help_text="Increases when the models or retractions change")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="ID of the user who may change it. IDs are never reused")
    token_id = models.BigIntegerField(
        null=True, help_text="ID of the token that created it; it counts toward this token's quota"
    )

    def __str__(self) -> str:
        return self.name


class Batch(models.Model):
    """The observations ``last - count + 1 … last`` of a stream, as they were committed.

    The text columns are JSON in the codec of the API, so that points are stored exactly as received. ``xs`` and ``ys`` are
    lists of length ``count``, with null for the features of a point which is no longer kept. ``notes`` maps an offset to the
    values that only some points have (key, source, identifier, given predictions). ``predictions`` maps a model ID to the
    list of its predictions before it learned. ``skipped`` maps a model ID to {offset: reason}.
    """

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    last = models.BigIntegerField()
    count = models.IntegerField()
    at = models.DateTimeField()
    xs = models.TextField()
    ys = models.TextField()
    notes = models.TextField(null=True)
    predictions = models.TextField(null=True)
    skipped = models.TextField(null=True)
    checksum = models.BigIntegerField(
        null=True, help_text="CRC-32 of xs and ys as received; null in rows that older versions wrote"
    )
    xid = models.BigIntegerField(
        null=True, db_index=True, help_text="Number of the PostgreSQL transaction, which gives events a safe order"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "last"], name="batch_stream_last")]


class Key(models.Model):
    """An idempotency key and the first observation that had it."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=210)
    seq = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "key"], name="key_stream_key")]


class FeatureName(models.Model):
    """The name of a feature in a stream's observations, stored when it first occurs. Their number is limited."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    name = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "name"], name="feature_stream_name")]


class StreamSummary(models.Model):
    """The stored :mod:`server.streams.feature_summary` of the observations ``1 … upto``, so that a start needn't read them."""

    stream = models.OneToOneField(Stream, on_delete=models.CASCADE, primary_key=True)
    upto = models.BigIntegerField()
    summary = models.TextField()


class Retraction(models.Model):
    """An observation that is marked as wrong. It stays in the log, and no model learns it any more."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    seq = models.BigIntegerField()
    reason = models.TextField()
    at = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "seq"], name="retraction_stream_seq")]


class Generation(models.Model):
    """One row with a counter that changes whenever the permissions of any caller change.

    Each hot request reads it together with its own row. A cached caller is valid for the generation in which it was read.
    Database triggers increment it (see the migrations of :mod:`server.accounts`), whatever changes an account.
    """

    value = models.BigIntegerField()


class Usage(models.Model):
    """Usage of a quota by a user, or by one of their tokens (:mod:`server.streams.quotas.quota_usage`)."""

    user_id = models.BigIntegerField()
    token_id = models.BigIntegerField(default=0, help_text="ID of the token; 0 for the user with all of their tokens")
    quota = models.CharField(max_length=20, help_text="Name of the quota in server.streams.quotas.limits")
    used = models.BigIntegerField(default=0, help_text="Number of objects, or of bytes")
    told = models.SmallIntegerField(default=0, help_text="The last state that was reported: 0 ok, 1 near, 2 reached")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "token_id", "quota"], name="usage_owner_quota")]
