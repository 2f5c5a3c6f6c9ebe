"""Tables of descriptors, cells and databases of interactions. Rows of descriptors and databases never change."""

from django.db import models

from server.streams.models import Stream


class Descriptor(models.Model):
    """A named definition of how the features of a stream's observations are computed."""

    name = models.CharField(max_length=200, unique=True)
    content = models.TextField(help_text="Canonical JSON")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the content, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)

    def __str__(self) -> str:
        return self.name


class Cell(models.Model):
    """The structure of a calculation, and the numbers of the observations of its bonds.

    ``types`` is a JSON object: ``names`` has the values of the stream's segment feature, and ``of`` has for each observation the
    index of its value in ``names``. So a selection by type doesn't have to read the log.
    """

    LABELED, FAILED = "labeled", "failed"

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, db_index=False)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=10)
    reason = models.TextField(default="", blank=True, help_text="Why the calculation failed")
    composition = models.CharField(max_length=100)
    family = models.CharField(
        max_length=200,
        default="",
        db_default="",
        blank=True,
        help_text="Name of its family: a cell and its deformed copies",
    )
    structure = models.TextField(help_text="Extended XYZ")
    provenance = models.TextField(help_text="JSON")
    checksums = models.TextField(help_text="JSON: file name to SHA-256 in hex")
    first = models.BigIntegerField(
        null=True, help_text="Number of its first observation; null if the calculation failed"
    )
    last = models.BigIntegerField(null=True)
    types = models.TextField(null=True)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request that created it, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="ID of the user who posted it; it counts toward their quota")
    token_id = models.BigIntegerField(
        null=True, help_text="ID of the token that posted it; it counts toward this token's quota"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "name"], name="cell_stream_name")]
        indexes = [
            models.Index(fields=["stream", "first"], name="cell_stream_first"),
            models.Index(fields=["stream", "family"], name="cell_stream_family"),
            # All that counting the cells of a composition needs: reading the rows would read the structures, too.
            models.Index(fields=["composition", "status", "family", "name", "first", "last"], name="cell_composition"),
        ]

    def __str__(self) -> str:
        return self.name


class Database(models.Model):
    """A database of interactions: a named selection of a log that never changes."""

    name = models.CharField(max_length=200, unique=True)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE)
    asked = models.TextField(help_text="The requested definition, as canonical JSON")
    until = models.BigIntegerField(help_text="Number of the last observation that could be selected")
    retraction = models.BigIntegerField(help_text="ID of the last retraction that was applied")
    counts = models.TextField(help_text="JSON: type to composition to number of observations")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of its observations as they are exported, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True, help_text="ID of the user who created it. IDs are never reused")

    def __str__(self) -> str:
        return self.name
