"""The table of tokens."""

from django.conf import settings
from django.db import models


class Token(models.Model):
    """A program's credential: it acts as its owner. Its secret is shown once and stored as a hash alone."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, help_text="What the owner calls it")
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret, in hex")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="Noted at handshakes, not at each request")

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"
