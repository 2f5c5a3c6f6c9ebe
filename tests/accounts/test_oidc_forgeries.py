"""Answers of an OpenID Connect issuer that it never gave, or not to this browser, or not for this server."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth.models import User
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_encode

from server.accounts import roles
from tests.accounts.issuer import PUBLISHED, STRANGE, Issuer, nobody_came_in, signed
from tests.dashboard.browser import Browser

pytestmark = [pytest.mark.one_database, pytest.mark.django_db]


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(issuer, browser):
    """Somebody who signs another's browser in as themselves, to see what it then does."""
    address = issuer.back(Browser(), "subject-1")
    for victim in (browser, signed_out(browser, issuer)):
        page = victim.get(address)
        assert page.status == 403
        assert "this sign-in was started in another browser" in page.text.lower()
    nobody_came_in(browser)


def signed_out(browser: Browser, issuer: Issuer) -> Browser:
    """The same browser, after it began a sign-in of its own."""
    browser.get("/login/oidc/")
    return browser


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x", "?code=x&state=x", "?error=access_denied", "?code=&state="]
)
def test_an_answer_without_its_state_is_refused(issuer, browser, query):
    browser.get("/login/oidc/")
    assert browser.get(f"/login/oidc/callback/{query}").status == 403
    nobody_came_in(browser)


def test_looking_at_another_page_meanwhile_does_no_harm(issuer, browser):
    address = issuer.back(browser, "subject-1")
    assert browser.get("/account/").status == 302
    assert browser.get(address).status == 303


def test_a_changed_state_is_refused(issuer, browser):
    assert issuer.sign_in(browser, "subject-1", state="another").status == 403
    nobody_came_in(browser)


def test_an_answer_counts_once(issuer, browser):
    address = issuer.back(browser, "subject-1")
    assert browser.get(address).status == 303
    browser.send(browser.get("/account/"), "/logout/")
    assert browser.get(address).status == 403
    assert browser.get("/account/").status == 302


def test_a_token_for_another_request_is_refused(issuer, browser):
    page = issuer.sign_in(browser, "subject-1", nonce="another")
    assert page.status == 403
    assert "could not be verified: start the sign-in again" in page.text
    nobody_came_in(browser)


def test_a_code_that_was_taken_from_another_browser_is_refused(issuer, browser):
    """PKCE: the code is worth nothing without the verifier that the other browser's session has."""
    thiefs, other = issuer.back(browser, "subject-1"), issuer.back(Browser(), "subject-1")
    code = other.partition("code=")[2].partition("&")[0]
    own = thiefs.partition("code=")[2].partition("&")[0]
    assert browser.get(thiefs.replace(own, code)).status == 403
    nobody_came_in(browser)


def public_key() -> bytes:
    return PUBLISHED.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def unsigned(claims: dict[str, Any]) -> str:
    return signed(claims, None, algorithm="none")


def by_public_key(claims: dict[str, Any]) -> str:
    """HS256 with what everybody knows as the secret, for verifiers that take the algorithm from the token."""
    header_and_body, _, _ = signed(claims, b"x" * 32, algorithm="HS256").rpartition(".")
    hmac = HMACAlgorithm(HMACAlgorithm.SHA256)
    return f"{header_and_body}.{base64url_encode(hmac.sign(header_and_body.encode(), public_key())).decode()}"


def without(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda claims: signed({key: value for key, value in claims.items() if key != name})


def audiences(claims: dict[str, Any]) -> list[str]:
    """This server and another."""
    own = claims["aud"]
    return [*(own if isinstance(own, list) else [own]), "x"]


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "signed by a stranger": lambda claims: signed(claims, STRANGE, "stranger"),
    "signed by a stranger in the issuer's name": lambda claims: signed(claims, STRANGE),
    "signed without naming one of several keys": lambda claims: signed(claims, kid=None),
    "signed by nobody": unsigned,
    "signed by the public key": by_public_key,
    "signed with the right key by another algorithm": lambda claims: signed(claims, algorithm="RS512"),
    "for another client": lambda claims: signed({**claims, "aud": "another"}),
    "for several clients, issued to another": lambda claims: signed({**claims, "aud": audiences(claims), "azp": "x"}),
    "from another issuer": lambda claims: signed({**claims, "iss": "https://elsewhere.example"}),
    "from yesterday": lambda claims: signed({**claims, "exp": time.time() - 86400}),
    "from tomorrow": lambda claims: signed({**claims, "iat": time.time() + 86400, "exp": time.time() + 2 * 86400}),
    "of nobody": without("sub"),
    "of a nameless subject": lambda claims: signed({**claims, "sub": ""}),
    "of a number": lambda claims: signed({**claims, "sub": 1}),
    "of somebody else than the userinfo": lambda claims: signed({**claims, "sub": "subject-2"}),
    "without an end": without("exp"),
    "without a beginning": without("iat"),
    "without an audience": without("aud"),
    "without an issuer": without("iss"),
    "without a nonce": without("nonce"),
    "cut short": lambda claims: signed(claims)[:-10],
    "no token": lambda claims: "nonsense",
    "nothing": lambda claims: None,
    "an object": lambda claims: {"a": 1},
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_token_that_cannot_be_believed_lets_nobody_in(issuer, browser, kind):
    issuer.forge = FORGERIES[kind]
    page = issuer.sign_in(browser, "subject-1")
    assert page.status == 403, page.text
    assert "Not signed in" in page.text
    nobody_came_in(browser)


@pytest.mark.parametrize("several", [False, True])
def test_a_token_that_can_be_believed_lets_them_in(issuer, browser, several):
    """The forgeries above are refused for what is forged, and not for being made here."""
    issuer.forge = lambda claims: signed({**claims, "aud": audiences(claims)} if several else claims)
    assert issuer.sign_in(browser, "subject-1").status == 303


def test_a_subject_that_cannot_be_stored_is_refused(issuer, browser):
    for subject in ("x" * 256, "a\x00b"):
        issuer.forge = lambda claims, subject=subject: signed({**claims, "sub": subject})
        issuer.userinfo = {"sub": subject}
        assert issuer.sign_in(browser, "subject-1").status == 403
    nobody_came_in(browser)


def test_an_issuer_without_userinfo_is_believed_by_its_token(issuer, browser):
    issuer.document = {"userinfo_endpoint": None}
    issuer.forge = lambda claims: signed({**claims, "groups": ["hpc-users"]})
    assert issuer.sign_in(browser, "subject-1").status == 303


def test_the_signed_token_counts_before_the_userinfo(issuer, browser):
    issuer.forge = lambda claims: signed({**claims, "groups": ["hpc-users"]})
    issuer.userinfo = {"groups": ["hpc-admins"]}
    issuer.sign_in(browser, "subject-1")
    assert roles.role_of(User.objects.get()) == "researcher"
