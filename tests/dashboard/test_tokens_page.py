"""The page of one's own tokens."""

import re
import shlex
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from server.accounts import tokens
from server.accounts.models import AuditEntry, Token
from tests.dashboard.browser import PASSWORD, Browser, Page
from tests.people import bearer, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

HERE = "/account/tokens/"


def make(browser: Browser, name: str = "epilogue", **fields: object) -> Page:
    return browser.send(browser.get(HERE), HERE, name=name, **fields)


def secret_on(page: Page) -> str:
    assert page.status == 201, page.text
    return page.boxes[0]


def test_a_token_is_made_and_its_secret_shown_once(signed_in, client):
    browser = signed_in()
    page = make(browser, scopes=["learn"], streams="lammps-runtime, bond-strength\nthird", days="30")
    secret = secret_on(page)
    assert tokens.SECRET.match(secret)
    assert "shown only once" in page.text
    assert page.response.headers["Cache-Control"] == "no-store"
    token = Token.objects.get()
    assert (token.scopes, token.streams) == (["learn"], ["bond-strength", "lammps-runtime", "third"])
    assert timedelta(days=29, hours=23) < token.expires_at - datetime.now(UTC) <= timedelta(days=30)
    assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 403

    # Nowhere else, ever
    for again in (browser.get(HERE), browser.get("/account/")):
        assert secret not in again.html.decode()
    assert token.hint in browser.get(HERE).text
    kept = [session.get_decoded() for session in Session.objects.all()]
    entries = list(AuditEntry.objects.values_list("before", "after"))
    assert secret not in f"{kept}{entries}{browser.client.cookies}"


def test_the_lines_for_a_shell_are_what_a_shell_understands(signed_in):
    page = make(signed_in(), scopes=["learn"], streams="s")
    secret, environment, curl = page.boxes
    names = ("RIVER_ML_USER", "RIVER_ML_TOKEN", "TAILRACE_URL", "TAILRACE_TOKEN")
    shown = "; ".join(f'echo "${name}"' for name in names)
    ran = subprocess.run(["sh", "-c", f"{environment}\n{shown}"], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["ada", secret, "http://testserver", secret]
    words = shlex.split(curl.replace("\\\n", " "))
    assert words[:2] == ["curl", "-H"]
    assert words[3] == "$TAILRACE_URL/api/v1/streams/s/observations/"


@pytest.mark.parametrize(
    "scopes, address",
    [
        (["predict"], "models/MODEL/predict/"),
        (["read"], "me/"),
        (["manage"], "me/"),
        (["learn"], "streams/STREAM/observations/"),
    ],
)
def test_the_call_to_try_is_one_that_the_token_is_good_for(signed_in, scopes, address):
    assert f"/api/v1/{address}" in make(signed_in(), scopes=scopes).boxes[2]


def test_a_name_with_what_a_shell_would_run_is_quoted(required):
    user = User.objects.create_user("$(reboot)", password=PASSWORD)
    browser = Browser()
    browser.client.force_login(user)
    assert "export RIVER_ML_USER='$(reboot)'" in make(browser, scopes=["read"]).boxes[1]


def test_a_token_may_be_for_ever_and_for_all_streams(signed_in):
    make(signed_in(), days="")
    token = Token.objects.get()
    assert (token.expires_at, token.streams) == (None, None)
    assert token.scopes == ["learn", "predict", "read"], "managing is asked for"


@pytest.mark.parametrize(
    "fields, field, message",
    [
        ({"name": "  "}, "name", "expected what the token is for"),
        ({"name": "x" * 101}, "name", "the longest allowed is 100"),
        ({"name": "a\x00b"}, "name", "can't be stored"),
        ({"streams": "../etc"}, "streams", "is not a valid name of a stream"),
        ({"days": "-1"}, "days", "expected one of 1, 7, 30, 90, 365"),
        ({"days": "9" * 400}, "days", "expected one of"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(signed_in, fields, field, message):
    page = make(signed_in(), **fields)
    assert page.status == 400
    assert message in page.error_at(field)
    assert not Token.objects.exists()


@pytest.mark.parametrize("scopes", [[], ["root"]])
def test_a_token_has_a_scope_that_there_is(signed_in, scopes):
    page = make(signed_in(), scopes=scopes)
    assert page.status == 400
    assert "expected a list of at least one of learn, predict, read, manage" in page.text
    assert not Token.objects.exists()


def test_what_was_filled_in_outlives_a_mistake(signed_in):
    page = make(signed_in(), name="jobs", scopes=["read"], streams="a b/c", days="7")
    form = page.form(HERE)
    assert form.find(id="name")["value"] == "jobs"
    assert [box["value"] for box in form.select("input[checked]")] == ["read"]
    assert form.find(id="streams").get_text() == "a b/c"
    assert form.select_one("#days option[selected]")["value"] == "7"


def test_loading_the_page_with_the_secret_again_makes_no_other_token(signed_in):
    browser = signed_in()
    form = browser.get(HERE)
    assert browser.send(form, HERE, name="one").status == 201
    again = browser.send(form, HERE, name="one")
    assert again.status == 409
    assert "already exists, and its secret" in again.text
    assert Token.objects.count() == 1
    assert browser.send(again, HERE, name="two").status == 201


def test_a_token_is_rotated_with_an_overlap(signed_in, client):
    browser = signed_in()
    old = secret_on(make(browser))
    token = Token.objects.get()
    page = browser.send(browser.get(HERE), f"{HERE}{token.pk}/rotate/", hours="1")
    new = secret_on(page)
    token.refresh_from_db()
    assert timedelta(minutes=59) < token.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert f"works until {token.expires_at:%Y-%m-%d %H:%M} UTC" in page.text
    for secret in (old, new):
        assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 200


def test_a_token_that_was_rotated_at_once_no_longer_works(signed_in, client):
    browser = signed_in()
    old = secret_on(make(browser))
    secret_on(browser.send(browser.get(HERE), f"{HERE}{Token.objects.get().pk}/rotate/", hours="0"))
    assert client.get("/api/v1/streams/", headers=bearer(old)).status_code == 401


def test_a_token_is_rotated_once(signed_in):
    browser = signed_in()
    make(browser)
    form, action = browser.get(HERE), f"{HERE}{Token.objects.get().pk}/rotate/"
    assert browser.send(form, action).status == 201
    again = browser.send(form, action)
    assert again.status == 409
    assert "was already rotated" in again.text
    assert Token.objects.count() == 2


def test_an_overlap_is_one_of_those_offered(signed_in):
    browser = signed_in()
    make(browser)
    page = browser.send(browser.get(HERE), f"{HERE}{Token.objects.get().pk}/rotate/", hours="1e9")
    assert (page.status, Token.objects.count()) == (400, 1)


def test_a_token_is_revoked_at_once(signed_in, client, audited):
    browser = signed_in()
    secret = secret_on(make(browser))
    token = Token.objects.get()
    assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 200
    answer = browser.send(browser.get(HERE), f"{HERE}{token.pk}/revoke/")
    page = browser.follow(answer)
    assert f"The token “epilogue” (…{token.hint}) is revoked." in page.text
    assert "You have no valid token." in page.text
    assert "Revoked and expired tokens" in page.text
    assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 401
    assert audited()[-1] == ("ada", "token.revoke", str(token.pk))


@pytest.mark.parametrize("what", ["rotate", "revoke"])
@pytest.mark.parametrize("number", ["eves", 0, 10**30])
def test_anothers_token_is_as_good_as_none(signed_in, what, number):
    browser = signed_in("ada", "admin")
    eves, secret = tokens.create(person("eve"), "hers")
    number = eves.pk if number == "eves" else number
    csrf = browser.get(HERE).html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
    response = browser.client.post(f"{HERE}{number}/{what}/", {"csrfmiddlewaretoken": csrf})
    assert response.status_code == 404
    assert f"You have no token with the number {number}" in response.content.decode()
    assert tokens.verify(secret) is not None


def test_anothers_tokens_are_not_listed(signed_in):
    tokens.create(person("eve"), "eves own")
    assert "eves own" not in signed_in("ada", "admin").get(HERE).html.decode()


def test_what_a_token_is_called_is_text(signed_in):
    browser = signed_in()
    make(browser, name="<script>alert(1)</script>")
    page = browser.get(HERE)
    assert "<script>alert(1)</script>" in page.text
    assert not page.html.select("main script, script:not([src])")


def test_times_and_limits_are_shown(signed_in):
    browser = signed_in()
    make(browser, scopes=["learn"], streams="s1", days="")
    Token.objects.update(last_used_at=datetime(2026, 11, 20, 8, 30, tzinfo=UTC))
    text = browser.get(HERE).text
    assert re.search(r"Scopes learn Streams s1 Created 20\d\d-.* Expires never Last used 2026-11-20 08:30", text)
