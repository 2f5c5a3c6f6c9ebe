"""Lines of agents' logs are kept for some days; admins delete older ones by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from server.accounts.models import AuditEntry
from server.calculations import messages
from server.calculations.models import Message
from tests.calculations.test_pages import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(agent) -> None:
    """Lines that are 100, 80, 2 and 0 days old."""
    text = [{"level": "INFO", "text": f"{days} days old"} for days in (100, 80, 2, 0)]
    agent.sync(messages=text)
    for line in Message.objects.all():
        Message.objects.filter(pk=line.pk).update(at=datetime.now(UTC) - timedelta(days=int(line.text.split()[0])))


def kept() -> list[str]:
    return [text.split()[0] for text in Message.objects.order_by("pk").values_list("text", flat=True)]


def test_lines_are_kept_for_as_long_as_the_setting_says(lines, settings, monkeypatch):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"agent_log_days": 0})
    assert (messages.forget_old(), len(kept())) == (0, 4)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"agent_log_days": 90})
    assert (messages.forget_old(), kept()) == (1, ["80", "2", "0"])
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"agent_log_days": 1})
    monkeypatch.setattr(messages, "MAX_ROWS", 1)
    assert (messages.forget_old(), kept()) == (2, ["0"]), "in several transactions"


@pytest.mark.one_database
def test_only_an_admin_deletes_them_by_hand_and_it_is_recorded(lines, people, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    moderator = signed_in("mia", "moderator")
    assert moderator.get("/clusters/logs/").html.select("button.bad") == [], "the address is in the access matrix"
    admin = signed_in("root", "admin")
    page = admin.press(admin.get("/clusters/logs/"), "Delete", days="3")
    assert "2 lines are deleted" in admin.follow(page).text
    assert kept() == ["2", "0"]
    assert AuditEntry.objects.get(action="cluster.log").username == "root"
