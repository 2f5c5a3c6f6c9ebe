"""What the tests of accounts share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from server.accounts import oidc
from server.config import Config
from tests.accounts.calls import PASSWORD, signed_in
from tests.accounts.issuer import Issuer
from tests.api_client import Api
from tests.dashboard.browser import Browser
from tests.people import person


@pytest.fixture
def quick_passwords(settings: Any) -> None:
    """Hash passwords by a quick hasher; the real one takes half a second on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(db: None, required: None, quick_passwords: None) -> User:
    """A researcher with a password, where callers must show who they are."""
    return person("ada", "researcher", password=PASSWORD)


@pytest.fixture
def root(db: None, required: None) -> User:
    return person("root", "admin")


@pytest.fixture
def admin(root: User) -> Api:
    """What root asks with, signed in."""
    return signed_in(root)


@pytest.fixture
def browser() -> Browser:
    return Browser()


GROUPS = "hpc-admins=admin, hpc-mods=moderator,hpc-users=researcher"


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    issuer = Issuer()
    with issuer.running():
        yield issuer


@pytest.fixture
def configure(
    running: Issuer, required: None, quick_passwords: None, settings: Any, tmp_path: Path
) -> Callable[..., None]:
    """Sets the settings of OpenID Connect as they are read at a start; keyword arguments are changes to them."""

    def configured(method: str = "client_secret_basic", secret: str = "", **changes: Any) -> None:
        client, right = running.register(method)
        file = tmp_path / "client-secret"
        file.write_text(f"{secret or right}\n")
        given = {
            "secret_key": "x" * 40, "oidc_issuer": running.url, "oidc_client_id": client,
            "oidc_client_secret_file": file, "oidc_name": "Example University", "oidc_roles": GROUPS, **changes,
        }  # fmt: skip
        settings.TAILRACE = Config(**given)
        oidc.forget()

    settings.AUTHENTICATION_BACKENDS = ["server.accounts.lockout.Passwords", "server.accounts.oidc.Backend"]
    return configured


@pytest.fixture
def issuer(running: Issuer, configure: Callable[..., None]) -> Issuer:
    running.be_honest()
    configure()
    running.knows("subject-1", preferred_username="ada", email="ada@example.org", groups=["hpc-users", "others"])
    running.asked.clear()
    return running
