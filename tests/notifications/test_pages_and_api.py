"""The page of notifications and its calls: what a person chooses holds, and only for this person."""

import pytest

from server.notifications.models import Delivery, Preference, Webhook
from tests.accounts.calls import PASSWORD, signed_in
from tests.dashboard.browser import Browser
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database, pytest.mark.usefixtures("quick_passwords", "required")]


@pytest.fixture
def quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(quick_passwords, required):
    return person("ada", "researcher", password=PASSWORD)


HERE = "/account/notifications/"


def test_what_is_chosen_on_the_page_holds(ada):
    browser = Browser()
    browser.sign_in("ada", PASSWORD)
    assert "sends no e-mail" in browser.get(HERE).text
    assert (
        browser.send(browser.get(HERE), HERE, level="ERROR", events=["model.drifted"], digest_minutes="60").status
        == 303
    )
    chosen = Preference.objects.get(user=ada)
    assert (chosen.level, chosen.digest_minutes) == ("ERROR", 60)
    assert "model.drifted" not in chosen.muted
    assert "calculation.done" in chosen.muted


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"level": "LOUD", "digest_minutes": "5"}, "expected one of INFO, ERROR, NONE"),
        ({"level": "INFO", "digest_minutes": "soon"}, "expected whole minutes from 0 to 1440"),
        ({"level": "INFO", "digest_minutes": "99999"}, "expected whole minutes from 0 to 1440"),
    ],
)
def test_a_wrong_choice_is_named_and_changes_nothing(ada, sent, said):
    browser = Browser()
    browser.sign_in("ada", PASSWORD)
    answer = browser.send(browser.get(HERE), HERE, **sent)
    assert answer.status == 400
    assert said in answer.text
    assert not Preference.objects.exists()


def test_a_webhook_is_added_with_its_secret_shown_once_and_deleted(ada):
    browser = Browser()
    browser.sign_in("ada", PASSWORD)
    fields = {"name": "chat", "url": "https://example.org/hook", "shape": "slack"}
    added = browser.send(browser.get(HERE), f"{HERE}webhooks/", **fields)
    hook = Webhook.objects.get()
    assert hook.secret in added.text
    assert hook.secret not in browser.get(HERE).text
    browser.send(browser.get(HERE), f"{HERE}webhooks/{hook.pk}/test/")
    assert Delivery.objects.get().webhook == hook
    assert "Test message" in browser.get(HERE).text
    browser.send(browser.get(HERE), f"{HERE}webhooks/{hook.pk}/delete/")
    assert not Webhook.objects.exists()


def test_the_api_does_the_same(ada):
    api = signed_in(ada)
    assert api.patch("/api/v1/notifications/preferences/", {"level": "ERROR"}).json()["level"] == "ERROR"
    made = api.post("/api/v1/notifications/webhooks/", {"name": "chat", "url": "https://example.org/hook"}).json()
    assert made["secret"].startswith("whsec_")
    [listed] = api.get("/api/v1/notifications/webhooks/").json()["webhooks"]
    assert "secret" not in listed
    assert api.post(f"/api/v1/notifications/webhooks/{made['id']}/test/", {}).status_code == 202
    [told] = api.get("/api/v1/notifications/").json()["deliveries"]
    assert (told["by"], told["state"], told["event"]) == ("chat", "waiting", "test")
    assert api.post("/api/v1/notifications/test/", {}).status_code == 409
    refused = api.patch("/api/v1/notifications/preferences/", {"muted": ["everything"]})
    assert refused.status_code == 400


def test_others_cannot_reach_a_webhook(ada):
    hook = Webhook.objects.create(user=ada, name="chat", url="https://example.org/", secret="whsec_")
    eve = signed_in(person("eve", "admin"))
    assert eve.delete(f"/api/v1/notifications/webhooks/{hook.pk}/").status_code == 404
    assert eve.post(f"/api/v1/notifications/webhooks/{hook.pk}/test/", {}).status_code == 404
    assert Webhook.objects.filter(pk=hook.pk).exists()
