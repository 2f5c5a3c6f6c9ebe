"""The tables of accounts: credentials, sign-ins, and the audit trail. Users and groups are Django's own."""

from django.conf import settings
from django.db import models


class Access(models.Model):
    """No table: what callers may be allowed to do, as Django permissions that :mod:`server.accounts.roles` hands out."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("read", "Read streams, models, metrics and events"),
            ("predict", "Ask for predictions"),
            ("learn", "Post observations and labels"),
            ("create", "Create streams and models"),
            ("create_by_posting", "Create streams by posting to a name that isn't there"),
            ("change_own", "Change and delete their own streams and models"),
            ("change_any", "Change and delete everybody's streams and models"),
            ("retract", "Retract observations"),
            ("moderate_users", "Block users and reset passwords, of roles below their own"),
            ("manage_users", "Create users, give roles, and manage everybody's tokens and sign-ins"),
            ("read_audit", "Read the audit trail"),
            ("read_settings", "See the settings"),
        ]


class Token(models.Model):
    """A program's credential: it acts as its owner. Its secret is shown once and stored as a hash alone."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, help_text="What the owner calls it")
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret, in hex")
    hint = models.CharField(max_length=8, default="", help_text="The secret's last characters, to tell tokens apart")
    scopes = models.JSONField(default=list, help_text="Of learn, predict, read, manage, create")
    streams = models.JSONField(null=True, help_text="Names of the only streams that it works for; null: all")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute")
    replaces = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="replaced_by")

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"


class SignIn(models.Model):
    """A person signed in for a notebook or a single-page program: the chain of refresh tokens that began there."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_ins")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the refresh token that works now, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    refreshed_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    address = models.CharField(max_length=64, default="")
    agent = models.CharField(max_length=200, default="", help_text="The User-Agent that signed in")


class ExternalIdentity(models.Model):
    """Who a user is at an OpenID Connect issuer: never matched by name or e-mail address, which others may choose."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="external_identities")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="external_identity_subject")]


class AuditEntry(models.Model):
    """One change: who, when, from where, by which token, what, before and after. Triggers refuse to change or delete it.

    ``hash`` is over all other columns and over the hash of the entry before, so a gap or an edit shows.
    """

    number = models.BigIntegerField(unique=True, help_text="1, 2, 3 … without gaps")
    at = models.CharField(max_length=32, help_text="RFC 3339, UTC: as text, so that it is hashed as it is stored")
    user_id = models.BigIntegerField(null=True)
    username = models.CharField(max_length=150, default="", blank=True, db_index=True)
    token_id = models.BigIntegerField(null=True)
    address = models.CharField(max_length=64, default="", blank=True)
    request_id = models.CharField(max_length=64, default="", blank=True)
    action = models.CharField(max_length=50, db_index=True, help_text="Such as model.create")
    target = models.CharField(max_length=300, db_index=True, help_text="What it was done to, by name or number")
    before = models.TextField(null=True, help_text="JSON")
    after = models.TextField(null=True, help_text="JSON")
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)


class AuditHead(models.Model):
    """One row: the last entry's number and hash, so that entries cut off at the end are missed."""

    number = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")
