"""Signing in by OpenID Connect where the issuer, the settings or the people do what they shouldn't."""

import pytest
from authlib.oauth2.rfc6749 import AuthorizationCodeGrant
from django.contrib.sessions.models import Session

from server.accounts import lockout
from tests.accounts.issuer import STRANGE, nobody_came_in, signed
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import person

pytestmark = pytest.mark.django_db


def test_somebody_who_changes_their_mind_at_the_issuer_may_begin_again(issuer, browser):
    state = browser.get("/login/oidc/").response.headers["Location"].partition("state=")[2].partition("&")[0]
    page = browser.get(f"/login/oidc/callback/?error=access_denied&error_description=%3Cb%3E&state={state}")
    assert page.status == 403
    assert "You were not signed in there" in page.text
    assert any(link.startswith("/login/oidc/") for link in page.links())
    assert browser.get(f"/login/oidc/callback/?code=x&state={state}").status == 403


def test_an_issuer_that_is_down_is_told_and_passwords_still_work(issuer, browser):
    person("local", "viewer", password=PASSWORD)
    issuer.is_down = True
    page = browser.get("/login/oidc/?next=/account/tokens/")
    assert page.status == 503
    assert "Example University doesn't respond correctly" in page.text
    assert int(page.response.headers["Retry-After"]) > 0
    link = next(link for link in page.links() if link.startswith("/login/?"))
    browser.get(link)
    assert browser.sign_in("local").status == 303
    assert browser.get("/account/").status == 200


def test_an_issuer_that_is_down_does_not_keep_every_thread_waiting(issuer, browser):
    issuer.is_down = True
    for _ in range(3):
        assert browser.get("/login/oidc/").status == 503
    assert len(issuer.asked) == 1


def test_an_issuer_that_goes_down_during_a_sign_in_is_told(issuer, browser):
    address = issuer.back(browser, "subject-1")
    issuer.is_down = True
    page = browser.get(address)
    assert page.status == 503
    nobody_came_in(browser)


def test_an_issuer_that_nothing_listens_for_is_told(issuer, configure, browser):
    configure(oidc_issuer="http://localhost:9")
    assert browser.get("/login/oidc/").status == 503


def test_an_issuer_is_asked_once_where_things_are(issuer):
    for _ in range(3):
        Browser().get("/login/oidc/")
    assert issuer.asked == ["/.well-known/openid-configuration"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://elsewhere.example"},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"jwks_uri": "ftp://localhost/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
        {"jwks_uri": 5},
    ],
)
def test_an_issuer_that_says_what_cannot_be_is_not_used(issuer, browser, caplog, document):
    issuer.document = document
    assert browser.get("/login/oidc/").status == 503
    assert "can't be used" in caplog.text
    assert browser.get("/login/").status == 200


def test_a_wrong_client_secret_lets_nobody_in(issuer, configure, browser):
    configure(secret="not it")
    assert issuer.sign_in(browser, "subject-1").status == 403
    nobody_came_in(browser)


def test_the_client_secret_goes_in_the_body_where_the_issuer_takes_it_there(issuer, configure, browser):
    configure(method="client_secret_post")
    issuer.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert issuer.sign_in(browser, "subject-1").status == 303


def test_a_client_may_have_no_secret(issuer, configure, browser, monkeypatch):
    monkeypatch.setattr(AuthorizationCodeGrant, "TOKEN_ENDPOINT_AUTH_METHODS", ["none"])
    configure(method="none", oidc_client_secret_file=None)
    assert issuer.sign_in(browser, "subject-1").status == 303


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_it_never_leads_away_from_this_server(issuer, browser, wanted):
    answer = issuer.sign_in(browser, "subject-1", f"?next={wanted}")
    assert answer.response.headers["Location"] == "/account/"


def test_no_secret_is_kept_in_the_session_or_told_to_the_log(issuer, configure, browser, caplog):
    caplog.set_level("DEBUG", "server")
    issuer.sign_in(browser, "subject-1")
    issuer.forge = lambda claims: signed(claims, STRANGE)
    issuer.sign_in(Browser(), "subject-1")
    kept = str([session.get_decoded() for session in Session.objects.all()])
    assert "eyJ" not in kept
    assert "eyJ" not in caplog.text


def test_a_session_that_waits_for_the_issuer_is_short_and_one_that_is_signed_in_is_not(issuer, browser, settings):
    browser.get("/login/oidc/")
    assert browser.client.session.get_expiry_age() == 900
    person("local", "viewer", password=PASSWORD)
    browser.sign_in("local")
    assert browser.client.session.get_expiry_age() == settings.SESSION_COOKIE_AGE
    other = Browser()
    issuer.sign_in(other, "subject-1")
    assert other.client.session.get_expiry_age() == settings.SESSION_COOKIE_AGE


def test_a_lock_out_keeps_nobody_from_signing_in_at_the_issuer(issuer, browser, settings):
    issuer.sign_in(browser, "subject-1")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        browser.sign_in("ada", "a guess")
    assert browser.sign_in("ada", "a guess").status == 429
    assert issuer.sign_in(Browser(), "subject-1").status == 303
    lockout.reset_failures("ada")


def test_failures_at_the_issuer_lock_out_nobody(issuer, browser, settings):
    person("local", "viewer", password=PASSWORD)
    issuer.forge = lambda claims: signed(claims, STRANGE)
    for _ in range(settings.AXES_FAILURE_LIMIT + 1):
        assert issuer.sign_in(browser, "subject-1").status == 403
    assert browser.sign_in("local").status == 303


def test_it_is_not_there_where_it_is_not_configured(required, browser):
    assert not [link for link in browser.get("/login/").links() if "oidc" in link]
    for address in ("/login/oidc/", "/login/oidc/callback/?code=x&state=y"):
        assert browser.get(address).status == 404


def test_nobody_signs_in_where_the_server_is_open(issuer, configure, browser):
    configure(auth="open")
    assert browser.get("/login/oidc/").status == 409
