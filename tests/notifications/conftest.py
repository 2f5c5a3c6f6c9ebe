"""A real mail server on loopback, and people who want notifications."""

import asyncio
import email
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.contrib.auth.models import User

from server.notifications.models import Preference
from tests.people import person
from tests.serving import free_port


class MailServer:
    """Keeps the messages it takes. ``refusal`` is its answer to the next recipients, such as ``550 no such user``."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refusal = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(email.message_from_bytes(envelope.content))
        await asyncio.sleep(0)
        return "250 OK"

    @property
    def texts(self) -> list[str]:
        return [str(message.get_payload(decode=True).decode()) for message in self.messages]  # type: ignore[union-attr]


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    server = MailServer()
    port = free_port()
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", port, False
    settings.DEFAULT_FROM_EMAIL = "tailrace@example.org"
    given = {"mail_host": "127.0.0.1", "mail_port": port, "public_url": "https://tailrace.example.org"}
    settings.TAILRACE = settings.TAILRACE.model_copy(update=given)
    try:
        yield server
    finally:
        controller.stop()


@pytest.fixture
def ada(db: None) -> User:
    user = person("ada", "researcher")
    Preference.objects.create(user=user, address="ada@example.org")
    return user


@pytest.fixture
def admin(db: None) -> User:
    user = person("root", "admin")
    Preference.objects.create(user=user, address="root@example.org")
    return user
