"""Mail: sent at least once, collected instead of a flood, and ended by its reader."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.test import Client

from server.core.errors import Conflict, Invalid, TooMany, Unavailable
from server.notifications import delivering, outbox, preferences
from server.notifications.models import Delivery, Preference

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def publish(user, subject: str = "done", path: str = "") -> None:
    with transaction.atomic():
        outbox.publish("calculation.done", [user.pk], subject, "a text", path=path)


def pass_time(**much: float) -> None:
    """Let what waits be due, as if so much time had passed."""
    gone = timedelta(**much)
    for delivery in Delivery.objects.filter(state=Delivery.WAITING):
        Delivery.objects.filter(pk=delivery.pk).update(due_at=delivery.due_at - gone)
    for one in Preference.objects.exclude(mailed_at=None):
        Preference.objects.filter(pk=one.pk).update(mailed_at=one.mailed_at - gone)


def states() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))


def test_what_happens_together_is_one_mail(ada, mail_server):
    publish(ada, "first", path="/calculations/1/")
    for n in range(8):
        publish(ada, f"number {n}")
    assert delivering.deliver_due() == 0, "the first waits for the others"
    pass_time(seconds=11)
    assert delivering.deliver_due() == 9
    assert delivering.deliver_due() == 0
    [message] = mail_server.messages
    assert message["Subject"] == "[Tailrace] first (and 8 more)"
    assert message["To"] == "ada@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    [text] = mail_server.texts
    assert "https://tailrace.example.org/calculations/1/" in text
    assert "- number 7" in text
    assert states() == ["sent"] * 9


def test_after_a_mail_the_next_ones_are_collected(ada, mail_server):
    publish(ada)
    pass_time(seconds=11)
    delivering.deliver_due()
    for n in range(30):
        publish(ada, f"later {n}")
        pass_time(seconds=11)
        delivering.deliver_due()
    assert len(mail_server.messages) == 1
    pass_time(minutes=15)
    delivering.deliver_due()
    assert [message["Subject"] for message in mail_server.messages[1:]] == ["[Tailrace] later 0 (and 29 more)"]


def test_a_mail_server_that_is_away_gets_it_later(ada, mail_server, settings):
    right, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    publish(ada)
    pass_time(seconds=11)
    delivering.deliver_due()
    [delivery] = Delivery.objects.all()
    assert (delivery.state, delivery.attempts) == ("waiting", 1)
    assert "can't be reached" in delivery.error
    settings.EMAIL_PORT = right
    assert delivering.deliver_due() == 0
    pass_time(seconds=61)
    delivering.deliver_due()
    assert states() == ["sent"]
    assert len(mail_server.messages) == 1


def test_it_gives_up_in_the_end(ada, mail_server):
    mail_server.refusal = "451 try later"
    publish(ada)
    for _ in range(len(delivering.PAUSES) + 1):
        assert states() == ["waiting"]
        pass_time(days=1)
        delivering.deliver_due()
    [delivery] = Delivery.objects.all()
    assert (delivery.state, delivery.attempts) == ("failed", len(delivering.PAUSES) + 1)
    assert "451 try later" in delivery.error


def test_an_address_that_is_refused_for_good_is_not_tried_again(ada, mail_server):
    mail_server.refusal = "550 no such user"
    publish(ada)
    pass_time(seconds=11)
    delivering.deliver_due()
    [delivery] = Delivery.objects.all()
    assert (delivery.state, delivery.error) == ("failed", "the mail server refuses the address: 550 no such user")


def test_a_process_that_died_after_it_took_one_leaves_it_to_another(ada, mail_server, monkeypatch):
    publish(ada)
    pass_time(seconds=11)
    monkeypatch.setattr(delivering, "_deliver_mail", lambda *args: None)
    assert delivering.deliver_due() == 1
    monkeypatch.undo()
    assert delivering.deliver_due() == 0
    pass_time(minutes=6)
    assert delivering.deliver_due() == 1
    assert states() == ["sent"]


def test_its_reader_ends_it_by_one_click_without_signing_in(ada, mail_server):
    publish(ada)
    pass_time(seconds=11)
    delivering.deliver_due()
    [message] = mail_server.messages
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = message["List-Unsubscribe"].strip().strip("<>").removeprefix("https://tailrace.example.org")
    client = Client(enforce_csrf_checks=True)
    assert client.get(link).status_code == 200
    assert Preference.objects.get().address, "a program that only looks changes nothing"
    assert client.post(link, "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded").status_code == 200
    assert not Preference.objects.get().address
    assert client.post(link[:-5] + "xxxx/").status_code == 400
    publish(ada)
    assert states() == ["sent"]


def test_an_address_is_told_nothing_before_it_is_confirmed(ada, mail_server):
    preferences.set_address(ada, "new@example.org")
    assert Preference.objects.get().address == "ada@example.org"
    [message] = mail_server.messages
    assert message["To"] == "new@example.org"
    [found] = re.findall(r"https://tailrace.example.org(/notifications/confirm/\S+)", mail_server.texts[0])
    assert Client().get(found).status_code == 200
    assert Preference.objects.get().address == "ada@example.org"
    assert Client(enforce_csrf_checks=True).post(found).status_code == 200
    assert Preference.objects.get().address == "new@example.org"
    with pytest.raises(TooMany):
        preferences.set_address(ada, "third@example.org")
    Preference.objects.update(asked_at=datetime.now(UTC) - timedelta(minutes=2))
    preferences.set_address(ada, "third@example.org")
    preferences.set_address(ada, "")
    assert Client().post(found).status_code == 400, "the link of an address that was removed"


@pytest.mark.parametrize(
    "address", ["ada", "a@b", "ada@example.org\nBcc: eve@example.org", "a@example.org,b@example.org"]
)
def test_what_is_no_address_is_refused(ada, mail_server, address):
    with pytest.raises(Invalid) as caught:
        preferences.set_address(ada, address)
    assert caught.value.field == "address"
    assert not mail_server.messages


def test_without_a_mail_server_it_says_so(ada):
    with pytest.raises(Conflict, match="TAILRACE_MAIL_HOST"):
        preferences.set_address(ada, "new@example.org")


def test_a_confirmation_that_is_not_taken_says_so(ada, mail_server, settings):
    settings.EMAIL_PORT = 1
    with pytest.raises(Unavailable, match="the confirmation was not sent"):
        preferences.set_address(ada, "new@example.org")
