"""The same new person, and different ones of the same name, sign in by OpenID Connect at the same instant."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.accounts.issuer import Issuer
from tests.serving import PATIENCE, Server

pytestmark = pytest.mark.database

TOGETHER = 8


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    with issuer.running():
        yield issuer


@pytest.fixture
def served(issuer: Issuer, serve: Callable[..., Server], tmp_path: Path) -> Server:
    """A real server with two workers, whose people come from the issuer."""
    server = serve(auth="required", workers=2, threads=8)
    server.stop()
    client, secret = issuer.register(redirect=f"{server.url}/login/oidc/callback/")
    (tmp_path / "client-secret").write_text(secret)
    given = {
        "ISSUER": issuer.url,
        "CLIENT_ID": client,
        "CLIENT_SECRET_FILE": str(tmp_path / "client-secret"),
        "ROLES": "*=viewer",
    }
    server.environment |= {f"TAILRACE_OIDC_{name}": value for name, value in given.items()}
    return server.start()


def sign_in_together(server: Server, subjects: list[str]) -> list[str]:
    """Everybody signs in at the issuer, and then they all come back at once: their names here."""
    browsers = [(requests.Session(), subject) for subject in subjects]
    barrier = threading.Barrier(len(browsers))

    def come_back(waiting: tuple[requests.Session, str]) -> str:
        browser, address = waiting
        barrier.wait(PATIENCE)
        answer = browser.get(address, allow_redirects=False, timeout=PATIENCE)
        assert answer.status_code == 303, answer.text
        page = browser.get(f"{server.url}/account/", timeout=PATIENCE).text
        return page.partition("<h1>")[2].partition("</h1>")[0]

    waiting = [(browser, back(server, browser, subject)) for browser, subject in browsers]
    with ThreadPoolExecutor(len(waiting)) as pool:
        return list(pool.map(come_back, waiting))


def back(server: Server, browser: requests.Session, subject: str) -> str:
    sent = browser.get(f"{server.url}/login/oidc/", allow_redirects=False, timeout=PATIENCE)
    answer = requests.post(sent.headers["Location"], data={"sub": subject}, allow_redirects=False, timeout=PATIENCE)
    return answer.headers["Location"]


def counted(server: Server) -> dict[str, int]:
    code = (
        "import json; from django.contrib.auth.models import User; from server.accounts.models import *;"
        "print(json.dumps({'users': User.objects.count(), 'identities': ExternalIdentity.objects.count(),"
        "'created': AuditEntry.objects.filter(action='user.create').count()}))"
    )
    return json.loads(server.manage("shell", "-v", "0", "-c", code).stdout)


def test_one_person_is_one_user_and_people_of_one_name_are_several(issuer, served):
    issuer.knows("one", preferred_username="ada")
    assert sign_in_together(served, ["one"] * TOGETHER) == ["ada"] * TOGETHER
    assert counted(served) == {"users": 1, "identities": 1, "created": 1}

    several = [f"other-{n}" for n in range(TOGETHER)]
    for subject in several:
        issuer.knows(subject, preferred_username="ada")
    names = sign_in_together(served, several)
    assert set(names) == {f"ada-{n}" for n in range(2, TOGETHER + 2)}
    assert counted(served) == {"users": 1 + TOGETHER, "identities": 1 + TOGETHER, "created": 1 + TOGETHER}
    assert served.manage("verify_audit").returncode == 0
