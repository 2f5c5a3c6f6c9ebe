"""The tables of descriptors, cells and databases of interactions. Rows of the first and the last are never changed."""

from django.db import models

from server.streams.models import Stream


class Descriptor(models.Model):
    """A definition of features, by name: what a stream's observations are made by."""

    name = models.CharField(max_length=200, unique=True)
    content = models.TextField(help_text="Canonical JSON")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the content, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)

    def __str__(self) -> str:
        return self.name


class Cell(models.Model):
    """A calculation's structure, and which observations of a stream its bonds are.

    ``types`` is a JSON object: ``names`` are the values of the stream's segment feature that occur, ``of`` has for each
    observation the place of its own in ``names``. So a selection by type need not read the log.
    """

    LABELED, FAILED = "labeled", "failed"

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=10)
    reason = models.TextField(default="", blank=True, help_text="Why the calculation failed")
    composition = models.CharField(max_length=100)
    structure = models.TextField(help_text="Extended XYZ")
    provenance = models.TextField(help_text="JSON")
    checksums = models.TextField(help_text="JSON: file name to SHA-256 in hex")
    first = models.BigIntegerField(null=True, help_text="Number of its first observation; null where it failed")
    last = models.BigIntegerField(null=True)
    types = models.TextField(null=True)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request that made it, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="Who posted it, whose quota it counts for")
    token_id = models.BigIntegerField(null=True, help_text="The token that posted it, whose quota it counts for")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "name"], name="cell_stream_name")]
        indexes = [models.Index(fields=["stream", "first"], name="cell_stream_first")]

    def __str__(self) -> str:
        return self.name


class Database(models.Model):
    """A database of interactions: a named selection of a log, which is the same for ever."""

    name = models.CharField(max_length=200, unique=True)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE)
    asked = models.TextField(help_text="The definition as it was asked for, as canonical JSON")
    until = models.BigIntegerField(help_text="The last observation that was selected from")
    retraction = models.BigIntegerField(help_text="Id of the last retraction that is left out")
    counts = models.TextField(help_text="JSON: type to composition to number of observations")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of its observations as they are exported, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="Who made it, by a number that is never given twice")

    def __str__(self) -> str:
        return self.name
