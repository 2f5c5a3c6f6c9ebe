"""What the tests of pages share: a server that asks who they are, people, and their browsers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from server.accounts import sessions
from server.accounts.caller import Caller
from server.accounts.models import AuditEntry
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import person


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    """Hash passwords by a quick hasher; the real one takes half a second on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada() -> User:
    return person("ada", "researcher", password=PASSWORD)


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def signed_in(required: None) -> Callable[..., Browser]:
    """A browser in which somebody of a role is signed in; they are made if they aren't there."""

    def sign_in(name: str = "ada", role: str = "researcher", **browser: Any) -> Browser:
        if not User.objects.filter(username=name).exists():
            person(name, role, password=PASSWORD)
        found = Browser(**browser)
        answer = found.sign_in(name)
        assert answer.status == 303, answer.text
        return found

    return sign_in


@pytest.fixture
def only_stream(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Limits everybody who is signed in to one stream."""

    def limit(name: str) -> None:
        found = sessions.caller_of

        def limited(request: Any) -> Caller | None:
            caller = found(request)
            return None if caller is None else replace(caller, streams=frozenset([name]))

        monkeypatch.setattr(sessions, "caller_of", limited)

    return limit


@pytest.fixture
def audited() -> Callable[[], list[tuple[str, str, str]]]:
    """Who did what to whom, in order: names of users, actions and targets."""

    def entries() -> list[tuple[str, str, str]]:
        return list(AuditEntry.objects.order_by("number").values_list("username", "action", "target"))

    return entries
