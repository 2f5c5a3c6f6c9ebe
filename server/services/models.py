"""Tables of services and of the agents that run them."""

from typing import ClassVar

from django.db import models

from server.calculations.models import Cluster


class ServiceAgent(models.Model):
    """The model agent of a cluster: where it passes requests on, which images it runs, and when it was last in contact."""

    cluster = models.OneToOneField(Cluster, on_delete=models.CASCADE, primary_key=True)
    session = models.CharField(max_length=64, help_text="UUID of the agent's run; a newer one takes over")
    address = models.CharField(max_length=200, help_text="Such as http://10.0.0.7:9470; empty: it passes nothing on")
    secret = models.CharField(max_length=100, help_text="What its address asks for. It is never shown")
    images = models.TextField(default="[]", help_text="JSON: the images that its site allows, by digest")
    version = models.CharField(max_length=100, default="")
    seen_at = models.DateTimeField()


class Service(models.Model):
    """A container that a cluster's model agent runs: what is wanted, and what the agent last reported."""

    RUNNING, STOPPED, DELETED = "running", "stopped", "deleted"
    WANTED = (RUNNING, STOPPED)
    WAITING = "waiting"
    STATES: ClassVar = (WAITING, "starting", "healthy", "unhealthy", "backing off", "refused", "stopped")

    name = models.CharField(max_length=200, unique=True)
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT)
    description = models.TextField(default="", blank=True)
    image = models.CharField(max_length=500, help_text="By digest")
    port = models.IntegerField(default=8080)
    memory_mb = models.IntegerField(default=1024)
    cpus = models.FloatField(default=1.0)
    pids = models.IntegerField(default=128)
    start_seconds = models.IntegerField(default=60, help_text="How long it may take to become healthy")
    sample = models.TextField(default="{}", help_text="JSON: body, expected, tolerance")
    registered_model = models.CharField(
        max_length=500, default="", db_default="", blank=True, help_text="Of which it is a version"
    )
    model_version = models.IntegerField(null=True)
    wanted = models.CharField(max_length=10, default=RUNNING)
    generation = models.IntegerField(default=1, help_text="Increases with every restart that is asked for")
    state = models.CharField(max_length=20, default=WAITING)
    reason = models.TextField(default="", blank=True)
    restarts = models.IntegerField(default=0, help_text="Restarts by the agent, since the last that was asked for")
    state_generation = models.IntegerField(default=0, help_text="The generation that the state is of")
    changed_at = models.DateTimeField(auto_now=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.name
