"""Delivers what waits in the outbox, at least once, and tries again after failures.

A process takes what is due by moving its next attempt ahead, so that others leave it alone. If the process dies before it has
recorded the delivery, the message is sent again.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import DatabaseError, InterfaceError
from django.db.models import F, Min

from server.core.db.locks import transaction_for_writing
from server.core.errors import Unavailable
from server.core.printable import encodable
from server.notifications import mail, webhooks
from server.notifications.models import Delivery, Notification, Preference, Webhook

logger = logging.getLogger(__name__)

PAUSES = (60, 300, 1_800, 7_200, 43_200)
"""Seconds until the next attempt, after each failed one. After the last, the delivery has failed."""

TAKEN = timedelta(minutes=5)
"""How long a process has for what it has taken."""

AT_ONCE, TO_HOOKS = 50, 10
"""Number of deliveries from which a turn takes no other person's, and most of one person to their webhooks in it.

All mails of a person become one.
"""

LONG = 2.0
"""Seconds of a failed request after which the person's other webhooks wait for a later turn."""

TURN = 60.0
"""Seconds of a turn after which the rest of what it has taken is given back."""

KEPT = timedelta(days=90)
"""How long the log of deliveries is kept."""

PAUSE = 2.0
"""Seconds between two looks."""


class _Looked:
    """When the next look is due, and when old notifications were last deleted."""

    at = 0.0
    deleted_at = 0.0


def deliver_when_due() -> None:
    """Deliver what is due, if it is time to look."""
    now = time.monotonic()
    if now < _Looked.at:
        return
    sent = deliver_due()
    _Looked.at = 0.0 if sent >= AT_ONCE else time.monotonic() + PAUSE
    if now - _Looked.deleted_at > 3600 or not _Looked.deleted_at:
        _Looked.deleted_at = now
        Notification.objects.filter(created_at__lt=datetime.now(UTC) - KEPT).delete()


def deliver_due() -> int:
    """Deliver what is due. Return how many deliveries were attempted."""
    taken = _take()
    mails: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in taken:
        if delivery.webhook is None:
            mails[delivery.user_id].append(delivery)
    for user_id, deliveries in mails.items():
        _attempt(deliveries, partial(_deliver_mail, user_id, deliveries))
    _deliver_webhooks([one for one in taken if one.webhook is not None])
    return len(taken)


def _deliver_webhooks(deliveries: list[Delivery]) -> None:
    """Deliver to webhooks, one after the other. A receiver that doesn't answer costs one wait in a turn, and its owner no more."""
    end = time.monotonic() + TURN
    failed: set[int] = set()
    slow: set[int] = set()
    left: list[Delivery] = []
    for delivery in deliveries:
        hook = delivery.webhook
        assert hook is not None
        began = time.monotonic()
        if hook.pk in failed:
            _try_later([delivery], "the receiver did not take the message before this one")
        elif delivery.user_id in slow or began > end:
            left.append(delivery)
        elif not _attempt([delivery], partial(_deliver_webhook, delivery, hook)):
            failed.add(hook.pk)
            if time.monotonic() - began > LONG:
                slow.add(delivery.user_id)
    pks = [one.pk for one in left]
    Delivery.objects.filter(pk__in=pks, state=Delivery.WAITING).update(due_at=datetime.now(UTC))


def _attempt(deliveries: list[Delivery], deliver: Callable[[], bool]) -> bool:
    """Deliver, and return whether it worked. An error of ours delays these deliveries, and no others."""
    try:
        return deliver()
    except (DatabaseError, InterfaceError, Unavailable):
        raise
    except Exception as exc:
        logger.exception("a delivery failed")
        _try_later(deliveries, f"the server failed: {type(exc).__name__}")
        return False


def _take() -> list[Delivery]:
    now = datetime.now(UTC)
    due = Delivery.objects.filter(state=Delivery.WAITING, due_at__lte=now).order_by("due_at")
    if not due.exists():
        return []
    with transaction_for_writing():
        # Those who have waited longest come first, each with a few: what one person gets does not delay what others get.
        people = due.order_by().values_list("user").annotate(first=Min("due_at")).order_by("first")[:AT_ONCE]
        pks: list[int] = []
        for user, _ in list(people):
            if len(pks) < AT_ONCE:
                of_person = due.filter(user=user).values_list("pk", flat=True)
                pks += of_person.filter(webhook=None)[:AT_ONCE]
                pks += of_person.exclude(webhook=None)[:TO_HOOKS]
        locked = due.filter(pk__in=pks).select_for_update(skip_locked=True, of=("self",))
        taken = list(locked.select_related("notification", "webhook"))
        Delivery.objects.filter(pk__in=[one.pk for one in taken]).update(due_at=now + TAKEN)
    return taken


def _deliver_webhook(delivery: Delivery, hook: Webhook) -> bool:
    if hook.ended_at is not None:
        _give_up([delivery], "the receiver wants no more (410)")
        return False
    try:
        webhooks.send(delivery)
    except webhooks.WebhookFailed as exc:
        if exc.is_gone:
            Webhook.objects.filter(pk=hook.pk).update(ended_at=datetime.now(UTC))
            _give_up([delivery], str(exc))
        else:
            _try_later([delivery], str(exc))
        return False
    _sent([delivery])
    return True


def _deliver_mail(user_id: int, deliveries: list[Delivery]) -> bool:
    preference = Preference.objects.filter(user_id=user_id).first()
    if preference is None or not preference.address or preference.level == "NONE":
        _give_up(deliveries, "the person wants no e-mail any more")
        return False
    if not mail.is_on():
        _try_later(deliveries, "no mail server is set: an operator sets TAILRACE_MAIL_HOST")
        return False
    now = datetime.now(UTC)
    begins = None
    if preference.mailed_at is not None:
        begins = preference.mailed_at + timedelta(minutes=preference.digest_minutes)
    if begins is not None and begins > now and any(one.notification.event != "test" for one in deliveries):
        Delivery.objects.filter(pk__in=[one.pk for one in deliveries]).update(due_at=begins)
        return False
    try:
        mail.send(preference, [one.notification for one in deliveries])
    except mail.MailRefused as exc:
        _give_up(deliveries, str(exc))
    except mail.MailFailed as exc:
        _try_later(deliveries, str(exc))
    else:
        _sent(deliveries)
        Preference.objects.filter(pk=preference.pk).update(mailed_at=now)
        return True
    return False


def _sent(deliveries: list[Delivery]) -> None:
    _update(deliveries, state=Delivery.SENT, sent_at=datetime.now(UTC), error="")


def _give_up(deliveries: list[Delivery], why: str) -> None:
    _update(deliveries, state=Delivery.FAILED, error=encodable(why, 1_000))


def _try_later(deliveries: list[Delivery], why: str) -> None:
    now = datetime.now(UTC)
    for delivery in deliveries:
        if delivery.attempts >= len(PAUSES):
            logger.warning(
                "delivery %s has failed %d times and is given up: %s", delivery.pk, delivery.attempts + 1, why
            )
            _give_up([delivery], why)
        else:
            pause = timedelta(seconds=PAUSES[delivery.attempts])
            _update([delivery], due_at=now + pause, error=encodable(why, 1_000))


def _update(deliveries: list[Delivery], **values: object) -> None:
    pks = [one.pk for one in deliveries]
    Delivery.objects.filter(pk__in=pks, state=Delivery.WAITING).update(attempts=F("attempts") + 1, **values)
