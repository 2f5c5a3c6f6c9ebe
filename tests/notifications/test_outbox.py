"""Events are written with their cause or not at all, and to those who want them."""

import pytest
from django.db import transaction

from server.notifications import outbox, preferences
from server.notifications.models import Delivery, Notification, Preference


def publish(event: str, *people: int, group: str = "") -> None:
    with transaction.atomic():
        outbox.publish(event, people, "a subject", "a text", group=group)


def told() -> list[tuple[str, str, str]]:
    found = Delivery.objects.order_by("pk").select_related("user", "webhook", "notification")
    return [
        (one.user.username, one.webhook.name if one.webhook else "e-mail", one.notification.event)
        for one in found
        if one.state == Delivery.WAITING
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.database
def test_an_event_that_is_undone_tells_nobody(ada):
    with pytest.raises(RuntimeError), transaction.atomic():
        outbox.publish("calculation.done", [ada.pk], "a subject", "a text")
        raise RuntimeError
    assert not Notification.objects.exists()
    with pytest.raises(transaction.TransactionManagementError):
        outbox.publish("calculation.done", [ada.pk], "a subject", "a text")


def test_it_tells_those_whom_it_concerns_and_admins_of_errors(ada, admin):
    publish("calculation.done", ada.pk)
    assert told() == [("ada", "e-mail", "calculation.done")]
    publish("calculation.failed", ada.pk)
    assert told()[1:] == [("ada", "e-mail", "calculation.failed"), ("root", "e-mail", "calculation.failed")]
    admin.is_active = False
    admin.save()
    publish("backup.failed")
    assert len(told()) == 3


def test_who_has_no_way_is_not_told(ada):
    Preference.objects.all().delete()
    publish("calculation.done", ada.pk)
    assert not Notification.objects.exists()


def test_each_way_has_its_own_choice(ada):
    preferences.change(ada, level="ERROR", muted=["model.drifted"])
    preferences.add_webhook(ada, "chat", "https://example.org/hook", muted=["calculation.failed"])
    for event in ("calculation.done", "calculation.failed", "model.drifted"):
        publish(event, ada.pk)
    assert told() == [
        ("ada", "chat", "calculation.done"), ("ada", "e-mail", "calculation.failed"), ("ada", "chat", "model.drifted"),
    ]  # fmt: skip


def test_the_last_of_a_group_replaces_those_that_wait(ada):
    for _ in range(3):
        publish("calculation.done", ada.pk, group="chain 1")
    publish("calculation.done", ada.pk, group="chain 2")
    assert len(told()) == 2
    assert Delivery.objects.filter(state=Delivery.REPLACED).count() == 2


def test_a_subject_is_one_line_and_short(ada):
    with transaction.atomic():
        made = outbox.publish("calculation.done", [ada.pk], "first\r\nBcc: eve@example.org\ud800" + "x" * 300, "text")
    assert made is not None
    assert "\n" not in made.subject
    assert "\r" not in made.subject
    assert len(made.subject) <= 200
