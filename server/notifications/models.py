"""Tables of notifications: preferences of people, their webhooks, and the outbox with its deliveries."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Preference(models.Model):
    """How a person wants to be notified. Without a row, the defaults of the columns hold."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notification_preference")
    address = models.EmailField(default="", blank=True, help_text="Confirmed address; empty: no e-mail")
    unconfirmed = models.EmailField(default="", blank=True, help_text="Address whose confirmation is awaited")
    asked_at = models.DateTimeField(null=True, help_text="When the last confirmation was sent")
    level = models.CharField(max_length=5, default="INFO", help_text="Least level: INFO or ERROR; NONE: nothing")
    muted = models.JSONField(default=list, help_text="Names of events that the person doesn't want")
    digest_minutes = models.PositiveIntegerField(
        default=15, help_text="After a mail, later notifications are collected for so long, minutes"
    )
    mailed_at = models.DateTimeField(null=True, help_text="When the last mail was sent")

    def __str__(self) -> str:
        return f"preference of user {self.user_id}"


class Webhook(models.Model):
    """A URL of a person, to which notifications are sent as signed requests."""

    SHAPES: ClassVar = ("plain", "slack", "matrix")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=100)
    url = models.CharField(max_length=2000)
    shape = models.CharField(max_length=10, default="plain")
    secret = models.CharField(max_length=100, help_text="Key of the signatures")
    level = models.CharField(max_length=5, default="INFO")
    muted = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, help_text="When its receiver answered 410 (gone)")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="webhook_user_name")]

    def __str__(self) -> str:
        return self.name


class Notification(models.Model):
    """An event that people are notified of. It is written in the transaction of the event."""

    event = models.CharField(max_length=40)
    level = models.CharField(max_length=5)
    subject = models.CharField(max_length=200)
    text = models.TextField()
    path = models.CharField(max_length=1000, default="", help_text="Path of the page that shows more")
    group = models.CharField(
        max_length=200, default="", help_text="Waiting notifications of one group become one: the last replaces others"
    )
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.subject


class Delivery(models.Model):
    """A notification's way to one person: by e-mail, or to one of their webhooks."""

    WAITING, SENT, FAILED, REPLACED = "waiting", "sent", "failed", "replaced"

    notification = models.ForeignKey(Notification, models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="deliveries")
    webhook = models.ForeignKey(Webhook, models.CASCADE, null=True, help_text="Null: by e-mail")
    state = models.CharField(max_length=8, default=WAITING)
    due_at = models.DateTimeField(help_text="When the next attempt is due")
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(default="", help_text="Why the last attempt failed")
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], name="delivery_due", condition=models.Q(state="waiting")),
            models.Index(fields=["user", "-id"], name="delivery_of_user"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"


class Watched(models.Model):
    """What was last seen of something that is watched for events, so that each change is told once."""

    key = models.CharField(max_length=200, primary_key=True)
    value = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.key
