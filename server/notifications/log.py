"""The log of deliveries: what a person was told, by which way, and what became of it."""

from typing import Any

from django.contrib.auth.models import User

from server.notifications.models import Delivery


def deliveries_of(user: User, *, before: int | None = None, limit: int = 100) -> list[Delivery]:
    """Return deliveries to a person, newest first."""
    found = Delivery.objects.filter(user=user).select_related("notification", "webhook").order_by("-pk")
    if before is not None:
        found = found.filter(pk__lt=before)
    return list(found[:limit])


def described(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as JSON-compatible data."""
    told = delivery.notification
    return {
        "id": delivery.pk,
        "at": told.created_at.isoformat(),
        "event": told.event,
        "level": told.level,
        "subject": told.subject,
        "text": told.text,
        "path": told.path,
        "by": "e-mail" if delivery.webhook is None else delivery.webhook.name,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "error": delivery.error,
        "sent_at": None if delivery.sent_at is None else delivery.sent_at.isoformat(),
    }
