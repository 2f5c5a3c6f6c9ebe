"""The registry: registered models, their versions and aliases."""

from typing import ClassVar

from django.db import models

from server.tracking.models.names import LONGEST_KEY, LONGEST_NAME, choices


class RegisteredModel(models.Model):
    """A name under which versions of a model are registered."""

    name = models.CharField(max_length=LONGEST_NAME, unique=True)
    description = models.TextField(default="", blank=True)
    last_version = models.IntegerField(default=0, help_text="The highest number that a version ever had")
    created_ms = models.BigIntegerField()
    changed_ms = models.BigIntegerField()
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class RegisteredModelTag(models.Model):
    """A tag of a registered model."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, db_index=False, related_name="tags")
    key = models.CharField(max_length=LONGEST_KEY)
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "key"], name="registered_model_tag_key")]


class ModelVersion(models.Model):
    """A version of a registered model: where its files are, and which run made it."""

    PENDING, READY, FAILED = STATUSES = ("PENDING_REGISTRATION", "READY", "FAILED_REGISTRATION")
    STAGES = ("None", "Staging", "Production", "Archived")

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, db_index=False, related_name="versions")
    version = models.IntegerField(help_text="1, 2, 3 … of its model")
    run = models.CharField(max_length=32, default="", blank=True, db_index=True, help_text="Identifier of the run")
    run_link = models.CharField(max_length=500, default="", blank=True)
    logged_model = models.CharField(max_length=40, default="", blank=True, help_text="Identifier of the logged model")
    source = models.TextField()
    status = models.CharField(max_length=24, default=READY, choices=choices(*STATUSES))
    status_message = models.TextField(default="", blank=True)
    stage = models.CharField(max_length=12, default="None", choices=choices(*STAGES))
    description = models.TextField(default="", blank=True)
    created_ms = models.BigIntegerField()
    changed_ms = models.BigIntegerField()
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "version"], name="version_model_version")]


class ModelVersionTag(models.Model):
    """A tag of a version."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, db_index=False, related_name="tags")
    key = models.CharField(max_length=LONGEST_KEY)
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["version", "key"], name="version_tag_key")]


class ModelAlias(models.Model):
    """A name for a version, such as *champion*, which can be given to another one."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, db_index=False, related_name="aliases")
    alias = models.CharField(max_length=LONGEST_KEY)
    version = models.IntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "alias"], name="alias_model_alias")]
