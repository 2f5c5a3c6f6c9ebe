"""Whoever guesses at passwords is locked out, there and for that user alone; tokens are never part of it."""

import base64
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client

from server.accounts import credential_cache, lockout, tokens, users
from server.accounts.models import AuditEntry
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import bearer, person
from tests.serving import ROOT, Server

HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"
LIMIT = 3

Attempt = Callable[..., int]


@pytest.fixture(params=["page", "api"])
def attempt(request: pytest.FixtureRequest, required: None, quick_passwords: None, settings: Any) -> Attempt:
    """Tries to sign in, over a page or over the API: 200, 400 for a wrong password, or 429."""
    settings.AXES_FAILURE_LIMIT = LIMIT

    def page(name: str = "ada", password: str = "a guess", address: str = HERE, **extra: str) -> int:
        return {303: 200}.get(status := Browser(address, **extra).sign_in(name, password).status, status)

    def api(name: str = "ada", password: str = "a guess", address: str = HERE, **extra: str) -> int:
        client = Client(REMOTE_ADDR=address, **extra)
        answer = client.post("/api/v1/signin/", {"user": name, "password": password}, "application/json")
        return {401: 400}.get(answer.status_code, answer.status_code)

    return page if request.param == "page" else api


@pytest.fixture
def locked(attempt: Attempt, ada: User) -> Attempt:
    """After as many wrong passwords as there may be."""
    assert [attempt() for _ in range(LIMIT)] == [400] * (LIMIT - 1) + [429]
    return attempt


def told(action: str) -> list[tuple[str, str, str]]:
    found = AuditEntry.objects.filter(action=action).order_by("number")
    return list(found.values_list("username", "target", "address"))


def test_then_the_right_password_is_refused_too(locked):
    assert locked(password=PASSWORD) == 429


def test_another_address_is_not_locked_out(locked):
    assert locked(password=PASSWORD, address=ELSEWHERE) == 200
    assert locked(password=PASSWORD) == 429, "and doing that doesn't help whoever guesses"


def test_another_user_at_that_address_is_not_locked_out(locked):
    person("eve", "viewer", password=PASSWORD)
    assert locked("eve", PASSWORD) == 200


def test_what_a_locked_out_browser_calls_itself_does_not_matter(locked):
    assert locked(password=PASSWORD, HTTP_USER_AGENT="another") == 429


def test_nobody_can_lock_out_a_token(attempt, ada):
    """Not even from every address that there is: at the same address, over both APIs, and over the riverapi handshake."""
    _, secret = tokens.create(ada, "job")
    addresses = [HERE, ELSEWHERE, "2001:db8::1"]
    for address in addresses:
        for _ in range(LIMIT + 1):
            attempt(address=address)
    for address in addresses:
        assert attempt(password=PASSWORD, address=address) == 429
        credential_cache.clear()
        client = Client(REMOTE_ADDR=address)
        assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 200
        pair = base64.b64encode(f"ada:{secret}".encode()).decode()
        answer = client.get("/api/auth/token/", headers={"Authorization": f"Basic {pair}"})
        assert answer.status_code == 200
        assert client.get("/api/models/", headers=bearer(answer.json()["token"])).status_code == 200


def test_wrong_tokens_lock_out_nobody(attempt, ada):
    pair = base64.b64encode(b"ada:trc_" + b"0" * 64).decode()
    for _ in range(LIMIT + 1):
        assert (
            Client(REMOTE_ADDR=HERE).get("/api/auth/token/", headers={"Authorization": f"Basic {pair}"}).status_code
            == 401
        )
    assert attempt(password=PASSWORD) == 200


def test_it_ends_by_itself(locked, settings):
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - settings.AXES_COOLOFF_TIME - timedelta(seconds=1))
    assert locked(password=PASSWORD) == 200


def test_trying_on_does_not_make_it_last(locked, settings):
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - settings.AXES_COOLOFF_TIME + timedelta(minutes=1))
    assert locked() == 429
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=1, seconds=1))
    assert locked(password=PASSWORD) == 200


def test_a_right_password_takes_the_wrong_ones_before_it_back(attempt, ada):
    for _ in range(2):
        assert [attempt() for _ in range(LIMIT - 1)] == [400] * (LIMIT - 1)
        assert attempt(password=PASSWORD) == 200


def test_it_counts_for_the_page_and_the_api_together(attempt, ada):
    for _ in range(LIMIT - 1):
        attempt()
    client = Client(REMOTE_ADDR=HERE)
    assert client.post("/api/v1/signin/", {"user": "ada", "password": "x"}, "application/json").status_code == 429
    assert Browser(HERE).sign_in("ada").status == 429


def test_a_new_password_from_a_moderator_ends_it(locked, ada):
    password = users.reset_password(ada)
    assert locked(password=password) == 200


def test_an_operator_ends_it(locked):
    lockout.reset_failures("ada")
    assert locked(password=PASSWORD) == 200


def test_failures_and_lock_outs_are_told_with_their_address(locked):
    assert told("login.failed") == [("", "ada", HERE)] * LIMIT
    assert told("login.locked") == [("", "ada", HERE)]
    locked()
    assert len(told("login.failed")) == LIMIT, "what is refused for being locked out can't fill the trail"


def test_a_name_that_nobody_has_is_neither_told_nor_logged(attempt, ada, caplog):
    """It may be a password in the wrong field."""
    caplog.set_level(logging.DEBUG)
    assert [attempt("hunter2-in-the-wrong-field") for _ in range(LIMIT)] == [400] * (LIMIT - 1) + [429]
    assert not AuditEntry.objects.exists()
    assert "hunter2" not in caplog.text
    assert f"from {HERE} failed: there is no user" in caplog.text


def test_a_name_that_nobody_has_is_locked_out_as_others_are(attempt, ada):
    """So that it can't be told from one that somebody has."""
    assert [attempt("nobody") for _ in range(LIMIT + 1)] == [attempt("ada") for _ in range(LIMIT + 1)]


def test_what_was_typed_is_not_kept(locked, caplog):
    kept = str(list(AccessAttempt.objects.values("get_data", "post_data", "path_info")))
    assert "a guess" not in kept
    assert "csrfmiddlewaretoken=*" in kept or "csrfmiddlewaretoken" not in kept
    assert "a guess" not in caplog.text


def test_a_forwarded_address_counts_if_a_trusted_proxy_wrote_it(attempt, ada, settings):
    for _ in range(LIMIT):
        attempt(HTTP_X_FORWARDED_FOR=ELSEWHERE)
    assert attempt(password=PASSWORD, HTTP_X_FORWARDED_FOR="203.0.113.5") == 429, "anybody can write that"
    lockout.reset_failures("ada")
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"trusted_proxies": HERE})
    for _ in range(LIMIT):
        attempt(HTTP_X_FORWARDED_FOR=f"203.0.113.5, {ELSEWHERE}")
    assert attempt(password=PASSWORD, HTTP_X_FORWARDED_FOR=f"10.9.8.7, {ELSEWHERE}") == 429
    assert attempt(password=PASSWORD, HTTP_X_FORWARDED_FOR=f"{ELSEWHERE}, 203.0.113.5") == 200


@pytest.mark.one_database
@pytest.mark.parametrize(
    "first, second, same",
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
        ("192.0.2.7", "192.0.2.8", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "not an address", True),
    ],
)
def test_an_ipv6_site_counts_as_one_address(attempt, ada, first, second, same):
    for _ in range(LIMIT):
        attempt(address=first)
    assert attempt(password=PASSWORD, address=second) == (429 if same else 200)


def test_the_settings_are_those_of_the_environment():
    code = "from server import settings as s; print(s.AXES_FAILURE_LIMIT, s.AXES_COOLOFF_TIME, s.SESSION_COOKIE_AGE)"
    given = {
        "LOGIN_FAILURES": "7",
        "LOGIN_COOLOFF_MINUTES": "2.5",
        "SESSION_HOURS": "1",
        "VAR_DIR": os.environ["TAILRACE_VAR_DIR"],
    }
    environment = {**os.environ, **{f"TAILRACE_{name}": value for name, value in given.items()}}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["7", "0:02:30", "3600"]


def test_it_holds_on_all_workers_and_for_guesses_at_once(serve):
    server: Server = serve(auth="required", workers=2, threads=8, login_failures=LIMIT, address_rate=0)
    make = f"from server.accounts import users; users.create('ada', 'viewer', {PASSWORD!r})"
    assert server.manage("shell", "-c", make).returncode == 0

    def guess(password: str = "a guess") -> str:
        """The code of the refusal, once the process had room for the question."""
        while True:
            status, answer = server.post("/api/v1/signin/", {"user": "ada", "password": password})
            assert status in (401, 429)
            if (code := answer["error"]["code"]) != "too_many_requests":
                return str(code)

    with ThreadPoolExecutor(8) as pool:
        at_once = set(pool.map(lambda _: guess(), range(8)))
    assert at_once == {"wrong_password", "locked_out"}
    assert [guess(PASSWORD) for _ in range(6)] == ["locked_out"] * 6
