"""Tables of calculations: clusters, programs, structures, calculations, steps, attempts, results, logs and transitions."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from server.calculations import states


def _choices(*values: str) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


class Cluster(models.Model):
    """A machine that runs jobs. Its agent works for it with a token of its own."""

    ENABLED, MAINTENANCE, DISABLED = STATES = ("enabled", "maintenance", "disabled")

    name = models.CharField(max_length=200, unique=True)
    title = models.CharField(max_length=200, default="", blank=True)
    description = models.TextField(default="", blank=True)
    state = models.CharField(max_length=20, default=ENABLED, choices=_choices(*STATES))
    streams = models.JSONField(default=list, help_text="Names of the streams into which the agent may learn")
    steps_limit = models.IntegerField(null=True, help_text="Most steps at once; null: as many as the agent has slots")
    user_limit = models.IntegerField(null=True, help_text="Most steps of one user at once; null: no limit")
    retention_days = models.IntegerField(default=7, help_text="Days until raw files of an ended step may be deleted")
    epoch = models.BigIntegerField(default=0, help_text="Number of the last agent session; older ones are refused")
    seen_at = models.DateTimeField(null=True, help_text="When the agent last synced, by the server's clock")
    silent = models.BooleanField(default=False, help_text="Whether it was announced that the agent is silent")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)

    def __str__(self) -> str:
        return self.name


class AgentSession(models.Model):
    """A start of an agent. A newer session of the cluster fences the older ones."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE)
    epoch = models.BigIntegerField()
    agent = models.CharField(max_length=64, help_text="UUID of the agent's root folder")
    host = models.CharField(max_length=255)
    root = models.CharField(max_length=4096)
    version = models.CharField(max_length=100)
    launcher = models.CharField(max_length=100)
    slots = models.IntegerField()
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["cluster", "epoch"], name="session_cluster_epoch")]
        indexes: ClassVar = [models.Index(fields=["agent"], name="session_agent")]


class Load(models.Model):
    """How busy a cluster was at a moment, as its agent measured it."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, db_index=False)
    at = models.DateTimeField()
    values = models.TextField(help_text="JSON: cpu, memory, disk_free, disk_total, jobs_running, jobs_waiting")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["cluster", "at"], name="load_cluster_at")]


class AdvertisedProgram(models.Model):
    """A program as a cluster's agent can run it."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, db_index=False, related_name="programs")
    name = models.CharField(max_length=200, db_index=True)
    version = models.CharField(max_length=200, default="", blank=True)
    title = models.CharField(max_length=200, default="", blank=True)
    description = models.TextField(default="", blank=True)
    schema = models.TextField(help_text="JSON Schema of its parameters")
    needs_structure = models.BooleanField(null=True, help_text="Null: optional")
    analyses = models.TextField(help_text="JSON: list of name, title, description, requires")
    seen_at = models.DateTimeField(help_text="When it was last advertised")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["cluster", "name"], name="program_cluster_name")]


class ProgramRule(models.Model):
    """What moderators set for a program on all clusters."""

    name = models.CharField(max_length=200, unique=True)
    requires_approval = models.BooleanField(default=False)
    cost_limit = models.TextField(default="null", help_text="JSON: process hours above which approval is needed")


class Structure(models.Model):
    """Atoms in space, stored as one frame of extended XYZ."""

    name = models.CharField(max_length=200, unique=True, null=True, help_text="Null: given with a calculation")
    content = models.TextField(help_text="Extended XYZ")
    sha256 = models.CharField(max_length=64, db_index=True)
    atoms = models.IntegerField()
    formula = models.CharField(max_length=200)
    periodic = models.BooleanField()
    format = models.CharField(max_length=20, help_text="Format in which it was given")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.name or f"structure {self.pk}"


class Calculation(models.Model):
    """What a person asked for: one step or several."""

    NEEDS_APPROVAL, UNDECIDED = "needs approval", "undecided"
    STATES = (NEEDS_APPROVAL, states.HELD, states.WAITING, states.RUNNING, states.DONE, states.UNCONVERGED,
              states.FAILED, states.CANCELLED, UNDECIDED)  # fmt: skip

    name = models.CharField(max_length=200)
    description = models.TextField(default="", blank=True)
    program = models.CharField(max_length=200)
    structure = models.ForeignKey(Structure, null=True, on_delete=models.PROTECT)
    wanted_cluster = models.ForeignKey(Cluster, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    cluster = models.ForeignKey(Cluster, null=True, on_delete=models.PROTECT, db_index=False)
    priority = models.IntegerField(default=50)
    key = models.CharField(max_length=200, null=True, help_text="Idempotency key of the request that submitted it")
    asked = models.TextField(help_text="JSON: the request, with which it can be cloned")
    analyses = models.TextField(default="[]", help_text="JSON")
    notify = models.TextField(default="[]", help_text="JSON")
    state = models.CharField(max_length=20)
    counts = models.TextField(default="{}", help_text="JSON: state to number of steps")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of programs, parameters, structures and parents")
    cost = models.TextField(default="null", help_text="JSON: process hours that were asked for; null: not known")
    needs_approval = models.TextField(default="", blank=True, help_text="Why it needs approval; empty: it does not")
    approved_by = models.CharField(max_length=150, default="", blank=True)
    approved_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=150, default="", blank=True)
    owner_id = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["created_by", "key"], name="calculation_key")]
        indexes: ClassVar = [
            models.Index(fields=["state", "-id"], name="calculation_state"),
            models.Index(fields=["created_by", "-id"], name="calculation_owner"),
            models.Index(fields=["cluster", "-id"], name="calculation_cluster"),
            models.Index(fields=["program", "-id"], name="calculation_program"),
            models.Index(fields=["fingerprint"], name="calculation_fingerprint"),
        ]

    def __str__(self) -> str:
        return f"calculation {self.pk}"


class Step(models.Model):
    """One job of a calculation."""

    uid = models.CharField(max_length=32, unique=True, help_text="Random, so that it is never used twice")
    calculation = models.ForeignKey(Calculation, on_delete=models.CASCADE, db_index=False, related_name="steps")
    name = models.CharField(max_length=200)
    number = models.IntegerField(help_text="1, 2, 3 … in its calculation")
    program = models.CharField(max_length=200)
    parameters = models.TextField(help_text="JSON, with defaults")
    structure = models.ForeignKey(Structure, null=True, on_delete=models.PROTECT)
    resources = models.TextField(default="{}", help_text="JSON: nodes, processes, seconds")
    analyses = models.TextField(default="[]", help_text="JSON")
    corrections = models.TextField(default="{}", help_text="JSON: changes of parameters by handlers")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of program, parameters, structure and parents")
    state = models.CharField(max_length=20, choices=_choices(*states.STATES))
    reason = models.TextField(default="", blank=True)
    cluster = models.ForeignKey(Cluster, null=True, on_delete=models.PROTECT, db_index=False)
    priority = models.IntegerField(default=50)
    owner_id = models.BigIntegerField(null=True)
    fence = models.IntegerField(default=0, help_text="Fence of the current attempt")
    lost = models.BooleanField(default=False, help_text="The cluster's agent does not have it any more")
    cancel_wanted = models.BooleanField(default=False)
    result = models.ForeignKey("Result", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    changed_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["calculation", "name"], name="step_calculation_name"),
            models.UniqueConstraint(fields=["calculation", "number"], name="step_calculation_number"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["cluster", "program", "-priority", "id", "owner_id"],
                name="step_ready",
                condition=Q(state=states.READY),
            ),
            models.Index(fields=["cluster", "state"], name="step_active", condition=Q(state__in=states.ACTIVE)),
            models.Index(fields=["owner_id"], name="step_owner", condition=~Q(state__in=states.ENDED)),
        ]

    def __str__(self) -> str:
        return self.uid


class Parent(models.Model):
    """A step that another step needs."""

    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="parents", db_index=False)
    parent = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="children")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["step", "parent"], name="parent_step_parent")]


class Attempt(models.Model):
    """One try at a step, on one cluster, in a folder of its own."""

    GIVEN_BACK = "given back"
    KEPT, CLEANED = "kept", "cleaned"

    step = models.ForeignKey(Step, on_delete=models.CASCADE, db_index=False, related_name="attempts")
    fence = models.IntegerField()
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, db_index=False)
    epoch = models.BigIntegerField()
    claim = models.CharField(max_length=64)
    version = models.CharField(max_length=200, default="", blank=True, help_text="Of the program, as advertised")
    state = models.CharField(max_length=20)
    reason = models.TextField(default="", blank=True)
    job = models.CharField(max_length=200, default="", blank=True)
    host = models.CharField(max_length=255, default="", blank=True)
    correction = models.TextField(default="null", help_text="JSON: name and reason of the handler that started it")
    walltime = models.TextField(
        default="null", db_default="null", help_text="JSON: wall time, and where it comes from, as the agent told it"
    )
    cancel_wanted = models.BooleanField(default=False)
    files = models.CharField(max_length=20, default=KEPT)
    claimed_at = models.DateTimeField()
    permitted_at = models.DateTimeField(null=True)
    queued_at = models.DateTimeField(null=True)
    running_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    log_next = models.BigIntegerField(default=0, help_text="Where the next part of the log begins, bytes")
    log_head = models.BigIntegerField(default=0, help_text="Where the log's beginning ends, if log_tail is not 0")
    log_tail = models.BigIntegerField(default=0, help_text="Where the log's end begins that is kept; 0: all is kept")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["step", "fence"], name="attempt_step_fence")]
        indexes: ClassVar = [
            models.Index(fields=["cluster", "state"], name="attempt_active", condition=Q(state__in=states.ACTIVE)),
            models.Index(fields=["cluster", "ended_at"], name="attempt_kept", condition=Q(files="kept")),
            models.Index(fields=["claim"], name="attempt_claim"),
        ]


class Result(models.Model):
    """What an attempt gave. An attempt has one: the first, or the first valid one."""

    attempt = models.OneToOneField(Attempt, on_delete=models.CASCADE, related_name="result")
    state = models.CharField(max_length=20)
    reason = models.TextField(default="", blank=True)
    exit_code = models.IntegerField(null=True)
    values = models.TextField(default="{}", help_text="JSON: name to value and unit")
    tables = models.TextField(default="{}", help_text="JSON: name to columns and rows")
    analyses = models.TextField(default="[]", help_text="JSON")
    report = models.TextField(default="", blank=True, help_text="Sentences of the program for readers of the report")
    kept = models.TextField(default="[]", help_text="JSON: files that stay on the cluster: name, size, sha256")
    times = models.TextField(default="{}", help_text="JSON: began and ended, as the job's script measured them")
    next = models.TextField(default="null", help_text="JSON: the correction that the handler asked for")
    accepted_at = models.DateTimeField()


class StoredFile(models.Model):
    """A file of a result. Its content is on the volume, named by its checksum."""

    result = models.ForeignKey(Result, on_delete=models.CASCADE, db_index=False, related_name="files")
    name = models.CharField(max_length=200)
    analysis = models.CharField(max_length=200, default="", blank=True)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, db_index=True)
    stored = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["result", "name"], name="file_result_name")]


class Removal(models.Model):
    """A content that is being deleted, because no result names it. Nobody may send it meanwhile."""

    sha256 = models.CharField(max_length=64, unique=True)
    at = models.DateTimeField()


class LogChunk(models.Model):
    """A part of an attempt's log, as the agent sent it."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, db_index=False)
    offset = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["attempt", "offset"], name="log_attempt_offset")]


class Transition(models.Model):
    """One change of a step or a calculation.

    Rows are only added: triggers of the database refuse to change one, and to delete one of a calculation that is not
    in :class:`Deletion`.
    """

    calculation = models.ForeignKey(Calculation, on_delete=models.CASCADE, db_index=False)
    step = models.ForeignKey(Step, null=True, on_delete=models.CASCADE, db_index=False)
    fence = models.IntegerField(null=True)
    at = models.DateTimeField()
    before = models.CharField(max_length=20, default="", blank=True)
    after = models.CharField(max_length=20)
    who = models.CharField(max_length=20, help_text="server, agent or person")
    name = models.CharField(max_length=200, default="", blank=True, help_text="Name of the cluster or the user")
    reason = models.TextField(default="", blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["calculation", "id"], name="transition_calculation")]


class Deletion(models.Model):
    """A calculation that was deleted."""

    calculation = models.BigIntegerField(unique=True, help_text="Its number, which is not used again")
    name = models.CharField(max_length=200)
    by = models.CharField(max_length=150, default="", blank=True)
    at = models.DateTimeField(auto_now_add=True)


class Leftover(models.Model):
    """The folder of an attempt of a deleted calculation, until the cluster's agent has deleted it."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, db_index=False)
    step = models.CharField(max_length=32)
    fence = models.IntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["cluster", "step", "fence"], name="leftover_cluster_step_fence")
        ]


class Message(models.Model):
    """A line of an agent's log."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, db_index=False)
    at = models.DateTimeField(help_text="When it came, by the server's clock")
    level = models.CharField(max_length=10)
    text = models.TextField()
    step = models.CharField(max_length=32, default="", blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["cluster", "id"], name="message_cluster")]
