"""The tables of the log.

The log is kept in *batches*: the points of one commit, in one row that is never changed. A row a point costs
ten times as much to write and five times as much to read, and that cost would be the whole of a bulk request.
"""

from django.db import models


class Stream(models.Model):
    """A named, append-only log of observations, numbered 1, 2, 3 … without gaps."""

    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(default="", blank=True)
    target_name = models.CharField(max_length=200, default="y")
    target_unit = models.CharField(max_length=50, default="", blank=True)
    target_kind = models.CharField(max_length=10, default="any")
    features = models.JSONField(null=True, help_text="Feature name to kind; null where undeclared")
    segment = models.CharField(max_length=200, null=True)
    descriptor = models.CharField(
        max_length=200, null=True, help_text="Name of the definition that every observation's features are made by"
    )
    head = models.BigIntegerField(default=0, help_text="Number of the last observation")
    whole_after = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Observations up to this one aren't all there any more: no fold begins before it",
    )
    dropped = models.BigIntegerField(default=0, db_default=0, help_text="Observations up to this one are gone")
    expected_every = models.IntegerField(
        null=True, help_text="Seconds within which another observation is expected; null where none is"
    )
    grace = models.IntegerField(
        default=0, db_default=0, help_text="Seconds after those before the stream counts as silent"
    )
    epoch = models.BigIntegerField(default=0, help_text="Grows when the models or retractions change")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="Who may change it, by a number that is never given twice")
    token_id = models.BigIntegerField(null=True, help_text="The token that it was made with, whose quota it counts for")

    def __str__(self) -> str:
        return self.name


class Batch(models.Model):
    """The observations ``last - count + 1 … last`` of a stream, as they were committed.

    The text columns are JSON in the API's own codec, so that what was received is what is stored:
    ``xs`` and ``ys`` are lists of ``count``, with null for the features of a point that was thinned out; ``notes`` maps an offset to what only some points have
    (key, source, identifier, given predictions); ``predictions`` maps a model's id to the list of what it
    predicted before it learned; ``skipped`` maps a model's id to {offset: reason}.
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
        null=True, help_text="CRC-32 of xs and ys as they were received; null in rows of older versions"
    )
    xid = models.BigIntegerField(
        null=True, db_index=True, help_text="PostgreSQL's transaction number, which orders events safely"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "last"], name="batch_stream_last")]


class Key(models.Model):
    """An idempotency key and the observation that it named first."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=210)
    seq = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "key"], name="key_stream_key")]


class FeatureName(models.Model):
    """The name of a feature that observations of a stream have, written when it is first seen: their number is limited."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    name = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "name"], name="feature_stream_name")]


class StreamSummary(models.Model):
    """What the observations ``1 … upto`` of a stream have had (:mod:`server.streams.summary`), so that a start need not read them."""

    stream = models.OneToOneField(Stream, on_delete=models.CASCADE, primary_key=True)
    upto = models.BigIntegerField()
    summary = models.TextField()


class Retraction(models.Model):
    """A point found to be wrong: it stays in the log, marked, and no model learns it any more."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    seq = models.BigIntegerField()
    reason = models.TextField()
    at = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "seq"], name="retraction_stream_seq")]


class Generation(models.Model):
    """One row that counts the changes to what callers may do: it is read along with every look-up of a hot request.

    Whatever a process remembers of a caller holds for the generation that it was read in. Database triggers count
    (see the migrations of :mod:`server.accounts`), so that no way of changing an account is left out.
    """

    value = models.BigIntegerField()


class Usage(models.Model):
    """How much of a quota is used by one user, or by one of their tokens: see :mod:`server.streams.quota_usage`."""

    user_id = models.BigIntegerField()
    token_id = models.BigIntegerField(default=0, help_text="0: the user, with all of their tokens")
    quota = models.CharField(max_length=20, help_text="Its name in server.streams.quotas")
    used = models.BigIntegerField(default=0, help_text="Things or bytes")
    told = models.SmallIntegerField(default=0, help_text="The state that was told of: 0 ok, 1 near, 2 reached")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "token_id", "quota"], name="usage_owner_quota")]
