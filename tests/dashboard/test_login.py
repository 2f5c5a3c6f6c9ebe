"""Signing in and out of the pages with a password."""

import os
import re
import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from server.accounts.models import SignIn
from tests.dashboard.browser import PASSWORD, Browser
from tests.serving import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def test_it_signs_in_and_goes_where_the_person_wanted_to_go(required, ada, browser, audited):
    page = browser.get("/account/tokens/?a=1&b=2")
    assert (page.status, page.response.headers["Location"]) == (
        302,
        "/login/?next=%2Faccount%2Ftokens%2F%3Fa%3D1%26b%3D2",
    )
    answer = browser.sign_in("ada", path=page.response.headers["Location"])
    assert (answer.status, answer.response.headers["Location"]) == (303, "/account/tokens/?a=1&b=2")
    assert "Tokens" in browser.follow(answer).text
    assert audited() == [("ada", "login", "ada")]


def test_it_goes_to_the_account_if_no_page_was_wanted(required, ada, browser):
    page = browser.follow(browser.sign_in("ada"))
    assert page.path == "/account/"
    assert "Your role on this server: researcher" in page.text


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example/", "https://evil.example/", "http:evil.example", "/\\evil.example/", "\\\\evil.example", "///evil.example",
        "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", " //evil.example", "evil.example", "data:text/html,x",
        "http://testserver@evil.example/", "https://testserver/account/", "/%5Cevil.example/../\\/evil.example", "",
    ],
)  # fmt: skip
def test_it_never_leads_away_from_this_server(required, ada, browser, wanted):
    page = browser.get("/login/")
    answer = browser.send(page, "/login/", username="ada", password=PASSWORD, next=wanted)
    to = answer.response.headers["Location"]
    # As browsers read it: a backslash is a slash, and tabs and newlines aren't there.
    read = re.sub(r"[\t\r\n]", "", to).replace("\\", "/").strip()
    assert read.startswith("/")
    assert not read.startswith("//")


def test_what_was_wanted_outlives_a_wrong_password(required, ada, browser):
    page = browser.sign_in("ada", "not it at all", path="/login/?next=/account/tokens/")
    answer = browser.send(page, "/login/", username="ada", password=PASSWORD)
    assert answer.response.headers["Location"] == "/account/tokens/"


@pytest.mark.parametrize(
    "name, password", [("ada", "wrong"), ("nobody", PASSWORD), ("", ""), ("a\x00da", "x"), ("a" * 500, "x")]
)
def test_a_wrong_name_and_a_wrong_password_are_refused_alike(required, ada, browser, name, password):
    page = browser.sign_in(name, password)
    assert page.status == 400
    assert "Wrong user name or password" in page.text
    assert not SignIn.objects.exists()
    assert browser.get("/account/").status == 302
    assert page.html.find(id="password")["value"] == ""


def test_a_blocked_user_is_refused_as_a_wrong_password_is(required, ada, browser):
    User.objects.update(is_active=False)
    assert "Wrong user name or password" in browser.sign_in("ada").text


def test_a_form_from_elsewhere_is_refused(required, ada):
    browser = Browser()
    browser.get("/login/")
    response = browser.client.post("/login/", {"username": "ada", "password": PASSWORD})
    assert response.status_code == 403
    assert b"cookie" in response.content
    assert not SignIn.objects.exists()


def test_a_session_is_another_one_after_signing_in(required, ada, browser):
    """Whoever knew the session of before, or put it there, isn't signed in with it."""
    browser.client.session.save()
    browser.client.cookies[django_settings.SESSION_COOKIE_NAME] = before = browser.client.session.session_key
    assert browser.sign_in("ada").status == 303
    assert browser.client.cookies[django_settings.SESSION_COOKIE_NAME].value != before
    assert not Session.objects.filter(pk=before).exists()


def test_the_cookies_are_kept_from_scripts_and_from_other_sites(required, ada, browser):
    browser.sign_in("ada")
    for name in (django_settings.SESSION_COOKIE_NAME, django_settings.CSRF_COOKIE_NAME):
        cookie = browser.client.cookies[name]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["secure"]  # the tests are on loopback
    age = browser.client.cookies[django_settings.SESSION_COOKIE_NAME]["max-age"]
    assert age == django_settings.TAILRACE.session_hours * 3600


@pytest.mark.parametrize(
    "bind, expected",
    [
        ("127.0.0.1:80", "False False tailrace-session tailrace-csrf"),
        ("[::1]:80", "False False tailrace-session tailrace-csrf"),
        ("0.0.0.0:80", "True True __Host-tailrace-session __Host-tailrace-csrf"),
    ],
)
def test_cookies_go_over_https_alone_beyond_this_machine(bind, expected):
    names = "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"
    code = f"from server import settings as s; print({', '.join(f's.{name}' for name in names)})"
    given = {"BIND": bind, "AUTH": "required", "SECRET_KEY": "x" * 40, "ALLOWED_HOSTS": "tailrace.example.org"}
    environment = {**os.environ, **{f"TAILRACE_{name}": value for name, value in given.items()}}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == expected


def test_signing_out_ends_the_session_everywhere_it_was_copied_to(required, ada, browser, audited):
    browser.sign_in("ada")
    stolen = Browser()
    stolen.client.cookies = browser.client.cookies.copy()
    assert stolen.get("/account/").status == 200
    page = browser.send(browser.get("/account/"), "/logout/")
    assert not Session.objects.exists()
    assert "You are signed out." in browser.follow(page).text
    assert browser.get("/account/").status == stolen.get("/account/").status == 302
    assert audited()[1:] == [("ada", "signin.end", "ada")]


def test_signing_out_needs_a_form_of_this_server(required, ada, browser):
    browser.sign_in("ada")
    assert browser.get("/logout/").status == 405
    assert browser.client.post("/logout/").status_code == 403
    assert browser.get("/account/").status == 200


def test_signing_in_again_ends_the_session_of_before(required, ada, browser):
    browser.sign_in("ada")
    first = SignIn.objects.get()
    browser.sign_in("ada")
    first.refresh_from_db()
    assert first.revoked_at is not None
    assert SignIn.objects.filter(revoked_at=None).count() == 1
    assert browser.get("/account/").status == 200


def test_sessions_that_expired_are_tidied_away_as_others_begin(required, ada, browser):
    old = browser.client.session
    old.set_expiry(-1)
    old.save()
    browser.sign_in("ada")
    assert Session.objects.count() == 1


def test_the_page_says_who_is_signed_in_already(required, ada, browser):
    browser.sign_in("ada")
    assert "You are signed in as ada" in browser.get("/login/").text


def test_an_open_server_says_that_nobody_needs_to_sign_in(browser):
    page = browser.get("/login/")
    assert "This server is open" in page.text
    assert not page.html.select("input")
    assert "Open server" in page.html.find("header").get_text()
