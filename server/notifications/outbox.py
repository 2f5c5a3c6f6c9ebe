"""The outbox: events are written in the transaction that causes them, one delivery for each person and way."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q

from server.core.printable import encodable
from server.notifications.events import ERROR, EVENTS, Event
from server.notifications.models import Delivery, Notification, Preference, Webhook

COLLECTED = timedelta(seconds=10)
"""How long the first mail waits for others of the same moment."""


def publish(
    event: str, people: Iterable[int], subject: str, text: str, *, path: str = "", group: str = ""
) -> Notification | None:
    """Write a notification to the outbox. Call it inside the transaction of the event.

    Admins are notified of every event of level ``ERROR``.

    Parameters
    ----------
    event
        A name of :data:`server.notifications.events.EVENTS`.
    people
        IDs of the users whom it concerns.
    subject, text
        What happened: a line, and a few sentences that say what to do.
    path
        Path of a page that shows more, such as ``/calculations/12/``.
    group
        A waiting notification of the same group and person is replaced, so that a chain of steps gives one mail.

    Returns
    -------
    Notification
        None if nobody wants it.

    Raises
    ------
    KeyError
        If the event is unknown.
    TransactionManagementError
        If there is no transaction.
    """
    kind = EVENTS[event]
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("a notification belongs into the transaction of its event")
    wanted = set(people)
    concerned = Q(pk__in=wanted)
    if kind.level == ERROR:
        concerned |= Q(is_superuser=True) | Q(groups__name="admin")
    users = list(User.objects.filter(concerned, is_active=True).distinct().order_by("pk").values_list("pk", flat=True))
    return _write(kind, users, subject, text, path, group)


def publish_test(user_id: int, webhook: Webhook | None = None) -> Notification | None:
    """Write a test message for a person: by e-mail, or to one of their webhooks. It ignores what they have turned off.

    It replaces one that waits already.
    """
    ways: list[tuple[int, Webhook | None]] = [(user_id, webhook)]
    text = "This is a test message of your Tailrace server. You asked for it on the page of your notifications."
    group = f"test {'mail' if webhook is None else webhook.pk}"
    return _store(EVENTS["test"], ways, "Test message", text, "/account/notifications/", group)


def _write(kind: Event, users: list[int], subject: str, text: str, path: str, group: str) -> Notification | None:
    preferences = {one.user_id: one for one in Preference.objects.filter(user__in=users)}
    ways: list[tuple[int, Webhook | None]] = [
        (pk, None) for pk in users if pk in preferences and preferences[pk].address and wants(preferences[pk], kind)
    ]
    hooks = Webhook.objects.filter(user__in=users, ended_at=None).order_by("pk")
    ways += [(hook.user_id, hook) for hook in hooks if wants(hook, kind)]
    return _store(kind, ways, subject, text, path, group) if ways else None


def wants(preference: Preference | Webhook, kind: Event) -> bool:
    """Return whether a person wants an event by this way."""
    if preference.level == "NONE" or kind.name in preference.muted:
        return False
    return preference.level != ERROR or kind.level == ERROR


def _store(
    kind: Event, ways: list[tuple[int, Webhook | None]], subject: str, text: str, path: str, group: str
) -> Notification:
    now = datetime.now(UTC)
    row: dict[str, Any] = {"event": kind.name, "level": kind.level, "path": path[:1000], "group": group[:200]}
    subject = " ".join(encodable(subject, 200).split())[:200]  # a subject of a mail is one line
    made = Notification.objects.create(subject=subject, text=encodable(text, 20_000), **row)
    waiting = Delivery.objects.filter(state=Delivery.WAITING, attempts=0)
    if group:
        for user_id, hook in ways:
            waiting.filter(user_id=user_id, webhook=hook, notification__group=group).update(state=Delivery.REPLACED)
    Delivery.objects.bulk_create(
        Delivery(notification=made, user_id=user_id, webhook=hook, due_at=now if hook is not None else now + COLLECTED)
        for user_id, hook in ways
    )
    return made
