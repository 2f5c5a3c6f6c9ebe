"""What the tests of accounts share."""

from typing import Any

import pytest

from tests.dashboard.browser import Browser


@pytest.fixture
def quick_passwords(settings: Any) -> None:
    """Hash passwords by a quick hasher; the real one takes half a second on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def browser() -> Browser:
    return Browser()
