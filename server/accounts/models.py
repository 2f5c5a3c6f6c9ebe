"""Tables of accounts: tokens, sign-ins and the audit trail. Users and groups are Django's own."""

from django.conf import settings
from django.db import models


class Access(models.Model):
    """Declares the permissions, without a table. :mod:`server.accounts.roles` assigns them to roles."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("read", "Read streams, models, metrics and events"),
            ("predict", "Request predictions"),
            ("learn", "Post observations and labels"),
            ("create", "Create streams, models and calculations"),
            ("create_by_posting", "Create a stream by posting to a name that doesn't exist yet"),
            ("change_own", "Change and delete their own streams, models and calculations"),
            ("change_any", "Change and delete the streams, models and calculations of all users"),
            ("retract", "Retract observations"),
            ("approve", "Approve and prioritise calculations, and decide what becomes of undecided steps"),
            ("moderate_users", "Block users with a lower role, and reset their passwords"),
            ("manage_users", "Create users, assign roles, and manage the tokens and sign-ins of all users"),
            ("read_audit", "Read the audit trail"),
            ("read_settings", "Read the settings"),
            ("manage_clusters", "Add, change and remove clusters, and create the tokens of their agents"),
            ("compute", "Work as the agent of a cluster: only with the token of the cluster"),
        ]


class Token(models.Model):
    """A credential for programs, which acts as its owner. Its secret is shown once; only its hash is stored."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, help_text="Name that the owner chose")
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret, in hex")
    hint = models.CharField(max_length=8, default="", help_text="The secret's last characters, to tell tokens apart")
    scopes = models.JSONField(
        default=list, help_text="Any of learn, predict, read, manage and create; compute for a cluster"
    )
    streams = models.JSONField(null=True, help_text="Names of the streams that it is limited to; null: all streams")
    cluster_id = models.BigIntegerField(null=True, help_text="ID of the cluster whose agent it is for; null: none")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="Updated at most once a minute")
    replaces = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="replaced_by")

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"


class SignIn(models.Model):
    """A sign-in of a person: a browser session, or the chain of refresh tokens of a notebook or program."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_ins")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the current refresh token, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    refreshed_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    address = models.CharField(max_length=64, default="")
    agent = models.CharField(max_length=200, default="", help_text="The User-Agent header of the sign-in")


class ExternalIdentity(models.Model):
    """A user's issuer and subject in OpenID Connect. Users are never matched by name or e-mail, which others can choose."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="external_identities")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="external_identity_subject")]


class AuditEntry(models.Model):
    """One change: its author, time, address and token, its target, and the values before and after.

    Database triggers refuse to change or delete it. ``hash`` covers all other columns and the hash of the previous entry, so
    gaps and edits can be detected.
    """

    number = models.BigIntegerField(unique=True, help_text="1, 2, 3 … without gaps")
    at = models.CharField(max_length=32, help_text="RFC 3339, UTC. Stored as text, because the hash covers this text")
    user_id = models.BigIntegerField(null=True)
    username = models.CharField(max_length=150, default="", blank=True, db_index=True)
    token_id = models.BigIntegerField(null=True)
    address = models.CharField(max_length=64, default="", blank=True)
    request_id = models.CharField(max_length=64, default="", blank=True)
    action = models.CharField(max_length=50, db_index=True, help_text="Such as model.create")
    target = models.CharField(max_length=300, db_index=True, help_text="Name or number of the object that was changed")
    before = models.TextField(null=True, help_text="JSON")
    after = models.TextField(null=True, help_text="JSON")
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)


class AuditHead(models.Model):
    """One row with number and hash of the last entry, so that missing entries at the end can be detected."""

    number = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")
