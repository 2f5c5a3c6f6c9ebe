"""Webhooks: signed, to public addresses alone, tried again, and ended by their receiver."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.db import transaction

from server.core.errors import Conflict, Invalid
from server.notifications import delivering, outbox, preferences, webhooks
from server.notifications.models import Delivery, Webhook
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it gets, and answers with a status."""

    got: list[tuple[str, dict[str, str], bytes]]
    status: int

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        type(self).got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, self.rfile.read(length)))
        self.send_response(type(self).status)
        if 300 <= type(self).status < 400:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"said")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver(settings: Any) -> Iterator[Any]:
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"webhook_networks": "127.0.0.0/8"})
    kept = type("Kept", (Receiver,), {"got": [], "status": 200})
    with HTTPServer(("127.0.0.1", 0), kept) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        kept.url = f"http://127.0.0.1:{server.server_port}/hook?a=1"  # type: ignore[attr-defined]
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


def publish(user: Any) -> None:
    with transaction.atomic():
        outbox.publish("calculation.failed", [user.pk], "It failed", "Because", path="/calculations/1/")


def hook_deliveries() -> list[Delivery]:
    return list(Delivery.objects.exclude(webhook=None).order_by("pk"))


def test_a_receiver_can_check_that_it_is_ours(ada, receiver):
    hook = preferences.add_webhook(ada, "chat", receiver.url)
    publish(ada)
    delivering.deliver_due()
    [(path, headers, body)] = receiver.got
    assert path == "/hook?a=1"
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert (
        headers["webhook-signature"]
        == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    )
    content = json.loads(body)
    assert content["type"] == "calculation.failed"
    assert content["data"]["subject"] == "It failed"
    assert [one.state for one in hook_deliveries()] == ["sent"]


@pytest.mark.parametrize("shape", ["slack", "matrix"])
def test_shapes_of_chats(ada, receiver, shape):
    preferences.add_webhook(ada, "chat", receiver.url, shape=shape)
    publish(ada)
    delivering.deliver_due()
    assert json.loads(receiver.got[0][2])["text"] == "ERROR: It failed\nBecause\n/calculations/1/"


@pytest.mark.parametrize("status", [500, 429, 302])
def test_a_failure_is_tried_again_and_a_redirect_is_one(ada, receiver, status):
    preferences.add_webhook(ada, "chat", receiver.url)
    receiver.status = status
    publish(ada)
    delivering.deliver_due()
    [one] = hook_deliveries()
    assert (one.state, one.error) == ("waiting", f"127.0.0.1 answered {status}: said")
    assert [path for path, *_ in receiver.got] == ["/hook?a=1"]
    receiver.status = 204
    Delivery.objects.update(due_at=datetime.now(UTC) - timedelta(seconds=1))
    delivering.deliver_due()
    assert hook_deliveries()[0].state == "sent"
    assert receiver.got[0][1]["webhook-id"] == receiver.got[1][1]["webhook-id"], "so that it knows the same message"


def test_a_receiver_that_is_gone_gets_no_more(ada, receiver):
    preferences.add_webhook(ada, "chat", receiver.url)
    receiver.status = 410
    publish(ada)
    delivering.deliver_due()
    publish(ada)
    assert [one.state for one in hook_deliveries()] == ["failed"]
    assert Webhook.objects.get().ended_at is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://10.1.2.3/", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "http://0.0.0.0/",
        "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a00:1]/", "http://[2002:a00:1::]/", "http://[fd00::1]/", "http://224.0.0.1/",
        "http://[fec0::1]/", "http://[64:ff9b:1::a00:1]/", "http://[::ffff:0:127.0.0.1]/", "http://[::127.0.0.1]/", "http://192.0.0.8/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_with_what_to_do(ada, url):
    with pytest.raises(Invalid, match="TAILRACE_WEBHOOK_NETWORKS") as caught:
        preferences.add_webhook(ada, "chat", url)
    assert caught.value.field == "url"


def test_a_name_of_a_private_address_is_refused_when_it_is_used(ada, receiver, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"webhook_networks": ""})
    preferences.add_webhook(ada, "chat", receiver.url.replace("127.0.0.1", "localhost"))
    publish(ada)
    delivering.deliver_due()
    [one] = hook_deliveries()
    assert one.state == "waiting"
    assert "is a private address" in one.error
    assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.org/", "https://", "https://a:b@example.org/", "https://example.org:x/", "javascript:alert(1)"],
)
def test_what_is_no_address_is_refused(ada, url):
    with pytest.raises(Invalid) as caught:
        preferences.add_webhook(ada, "chat", url)
    assert caught.value.field == "url"


def test_names_are_unique_and_there_are_not_too_many(ada, monkeypatch):
    preferences.add_webhook(ada, "chat", "https://example.org/")
    with pytest.raises(Conflict, match="already"):
        preferences.add_webhook(ada, "chat", "https://example.org/")
    monkeypatch.setattr(webhooks, "MOST_OF_PERSON", 1)
    with pytest.raises(Conflict, match="the most"):
        preferences.add_webhook(ada, "other", "https://example.org/")


def test_a_receiver_that_drips_is_shut_out_and_costs_one_wait_in_a_turn(ada, receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "SECONDS", 1.0)
    over = threading.Event()

    def drip(self: Receiver) -> None:
        type(self).got.append((self.path, {}, b""))
        while not over.wait(0.2):
            self.wfile.write(b"H")

    receiver.do_POST = drip
    preferences.add_webhook(ada, "chat", receiver.url)
    for _ in range(3):
        publish(ada)
    try:
        assert delivering.deliver_due() == 3
    finally:
        over.set()
    assert [one.state for one in hook_deliveries()] == ["waiting"] * 3
    assert len(receiver.got) == 1


def test_a_receiver_that_first_takes_long_to_connect_may_not_drip_for_ever(ada, receiver, monkeypatch):
    """Until the handshake of TLS is done, there is no socket that could be shut."""
    monkeypatch.setattr(webhooks, "SECONDS", 0.5)
    over, dripped = threading.Event(), []

    class Slow(webhooks.HTTPConnection):
        def connect(self) -> None:
            over.wait(1.0)
            super().connect()

    def drip(self: Receiver) -> None:
        type(self).got.append((self.path, {}, b""))
        for _ in range(50):
            if over.wait(0.2):
                return
            dripped.append(self.wfile.write(b"H"))

    monkeypatch.setattr(webhooks, "HTTPConnection", Slow)
    receiver.do_POST = drip
    preferences.add_webhook(ada, "chat", receiver.url)
    publish(ada)
    try:
        assert delivering.deliver_due() == 1
    finally:
        over.set()
    assert len(receiver.got) == 1
    assert len(dripped) < 40


def test_what_one_person_gets_does_not_delay_what_others_get(ada, receiver, monkeypatch):
    monkeypatch.setattr(delivering, "LONG", 0.0)
    slow, bob = receiver.url.replace(str(receiver.url.split(":")[2].split("/")[0]), "1"), person("bob", "viewer")
    for number in range(2):
        preferences.add_webhook(ada, f"slow-{number}", slow)
    preferences.add_webhook(bob, "chat", receiver.url)
    for _ in range(delivering.AT_ONCE):
        publish(ada)
    publish(bob)
    delivering.deliver_due()
    assert len(receiver.got) == 1, "in the first turn, after all those of ada"
    tried = Delivery.objects.filter(webhook__user=ada, attempts__gt=0)
    assert set(tried.values_list("webhook__name", flat=True)) == {"slow-0"}, "one wait for one person"
    assert Delivery.objects.filter(webhook__user=ada, state="waiting").count() == 2 * delivering.AT_ONCE


def test_test_messages_replace_each_other(ada, receiver):
    hook = preferences.add_webhook(ada, "chat", receiver.url)
    for _ in range(3):
        with transaction.atomic():
            outbox.publish_test(ada.pk, hook)
    assert [one.state for one in hook_deliveries()] == ["replaced", "replaced", "waiting"]
    delivering.deliver_due()
    assert len(receiver.got) == 1


def test_an_error_of_ours_delays_its_own_delivery_alone(ada, receiver, monkeypatch):
    preferences.add_webhook(ada, "broken", receiver.url)
    preferences.add_webhook(ada, "chat", receiver.url)
    body_of = webhooks.body_of

    def fails(hook: Webhook, notification: Any) -> bytes:
        if hook.name == "broken":
            raise RuntimeError("a bug")
        return body_of(hook, notification)

    monkeypatch.setattr(webhooks, "body_of", fails)
    publish(ada)
    delivering.deliver_due()
    assert [(one.webhook.name, one.state, one.error) for one in hook_deliveries()] == [
        ("broken", "waiting", "the server failed: RuntimeError"), ("chat", "sent", ""),
    ]  # fmt: skip
