"""Signing in by OpenID Connect, at a real issuer on this machine."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import AuthorizationCodeGrant
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_encode

from server.accounts import lockout, oidc, roles, tokens, users
from server.accounts.models import AuditEntry, ExternalIdentity, SignIn
from server.config import Config
from tests.accounts.issuer import PUBLISHED, STRANGE, Issuer, signed
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import bearer, person

pytestmark = pytest.mark.django_db

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


def entries(action: str) -> list[tuple[str, str, str | None, str | None]]:
    found = AuditEntry.objects.filter(action=action).order_by("number")
    return list(found.values_list("username", "target", "before", "after"))


def nobody_came_in(browser: Browser) -> None:
    assert browser.get("/account/").status == 302
    assert not SignIn.objects.exists()
    assert not User.objects.exists()


# Who comes in


def test_somebody_new_comes_in_with_the_role_of_their_groups(issuer, browser):
    page = browser.get("/login/?next=/account/tokens/")
    link = next(link for link in page.html.select("a.button") if "Example University" in link.get_text())
    assert link["href"] == "/login/oidc/?next=%2Faccount%2Ftokens%2F"
    answer = issuer.sign_in(browser, "subject-1", "?next=%2Faccount%2Ftokens%2F")
    assert (answer.status, answer.response.headers["Location"]) == (303, "/account/tokens/")
    user = User.objects.get()
    assert (user.username, roles.role_of(user), user.has_usable_password(), user.email) == (
        "ada",
        "researcher",
        False,
        "",
    )
    assert ExternalIdentity.objects.values_list("issuer", "subject").get() == (issuer.url, "subject-1")
    assert f"researcher, vouched for by {issuer.url}." in browser.get("/account/").text
    assert entries("login") == [("ada", "ada", None, f'{{"sign_in":{SignIn.objects.get().pk},"by":"OpenID Connect"}}')]
    assert entries("user.link") == [("ada", "ada", None, f'{{"issuer":"{issuer.url}","subject":"subject-1"}}')]


def test_they_are_the_same_user_whatever_they_are_called_now(issuer, browser):
    issuer.sign_in(browser, "subject-1")
    issuer.knows("subject-1", preferred_username="lovelace", groups=["hpc-users"])
    assert issuer.sign_in(Browser(), "subject-1").status == 303
    assert User.objects.get().username == "ada"


def test_nobody_is_taken_for_another_by_a_name_or_an_address(issuer, browser):
    local = person("ada", "admin", email="ada@example.org", password=PASSWORD)
    issuer.knows("subject-2", preferred_username="ADA", email="ada@example.org", groups=["hpc-users"])
    for subject, name in (("subject-1", "ada-2"), ("subject-2", "ADA-3")):
        browser = Browser()
        assert issuer.sign_in(browser, subject).status == 303
        assert name in browser.get("/account/").html.find("h1").get_text()
    assert not local.external_identities.exists()
    assert User.objects.count() == 3


def test_the_same_subject_of_another_issuer_is_somebody_else(issuer, browser):
    ExternalIdentity.objects.create(user=person("other"), issuer="https://elsewhere.example", subject="subject-1")
    issuer.sign_in(browser, "subject-1")
    assert browser.get("/account/").html.find("h1").get_text() == "ada"


@pytest.mark.parametrize(
    "called, name",
    [
        ("a:b c/d", "a-b-c-d"), ("../../etc", "etc"), ("Ádám Kovács", "Adam-Kovacs"), ("", "user"), (None, "user"), ("🌊", "user"),
        ("x" * 300, "x" * 140), ({"a": 1}, "a-1"), ("(command line)", "command-line"), ("ada@example.org", "ada@example.org"),
    ],
)  # fmt: skip
def test_a_name_is_made_one_that_a_user_can_have(issuer, browser, called, name):
    issuer.knows("subject-3", preferred_username=called, groups=["hpc-users"])
    assert issuer.sign_in(browser, "subject-3").status == 303
    assert User.objects.get().username == name


# What they may do


def test_roles_follow_the_groups_at_each_sign_in_and_it_is_told(issuer, browser):
    for groups, role in (
        (["hpc-admins", "hpc-users"], "admin"),
        (["hpc-users"], "researcher"),
        (["hpc-mods"], "moderator"),
    ):
        person(f"some-{role}", "admin")  # so that nobody is the last
        issuer.knows("subject-1", preferred_username="ada", groups=groups)
        assert issuer.sign_in(Browser(), "subject-1").status == 303
        assert roles.role_of(User.objects.get(username="ada")) == role
    issuer.sign_in(Browser(), "subject-1")
    assert [(before, after) for _, target, before, after in entries("user.role") if target == "ada"] == [
        ('{"role":"admin"}', '{"role":"researcher"}'),
        ('{"role":"researcher"}', '{"role":"moderator"}'),
    ]


def test_a_session_has_the_role_of_the_last_sign_in(issuer, browser):
    person("root", "admin")
    issuer.knows("subject-1", groups=["hpc-admins"])
    issuer.sign_in(browser, "subject-1")
    assert browser.get("/audit/").status == 200
    issuer.knows("subject-1", groups=["hpc-users"])
    issuer.sign_in(Browser(), "subject-1")
    assert browser.get("/audit/").status == 403


def test_somebody_in_no_group_that_has_a_role_is_told_so(issuer, browser):
    issuer.knows("subject-9", preferred_username="eve", groups=["others"])
    page = issuer.sign_in(browser, "subject-9")
    assert page.status == 403
    assert "Example University knows you, and none of your groups there has a role here" in page.text
    nobody_came_in(browser)


def test_somebody_who_left_the_groups_loses_their_role_and_their_tokens_with_it(issuer, browser, client):
    issuer.sign_in(browser, "subject-1")
    user = User.objects.get()
    secret = tokens.create(user, "job")[1]
    issuer.knows("subject-1", groups=[])
    assert issuer.sign_in(Browser(), "subject-1").status == 403
    assert roles.role_of(user) == ""
    assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 403
    assert entries("user.role") == [("ada", "ada", '{"role":"researcher"}', '{"role":null}')]


def test_everybody_may_have_a_role(issuer, configure, browser):
    configure(oidc_roles="hpc-admins=admin,*=viewer")
    issuer.knows("subject-9", preferred_username="eve")
    assert issuer.sign_in(browser, "subject-9").status == 303
    assert roles.role_of(User.objects.get()) == "viewer"


@pytest.mark.parametrize(
    "claim, claims, status",
    [
        ("realm_access.roles", {"realm_access": {"roles": ["hpc-users"]}}, 303),
        ("https://example.org/groups", {"https://example.org/groups": ["hpc-users"]}, 303),
        ("groups", {"groups": "hpc-users"}, 303),
        ("groups", {"groups": {"hpc-users": True}}, 403),
        ("groups", {"groups": [["hpc-users"], 1, None]}, 403),
        ("groups", {"groups": "xhpc-users"}, 403),
        ("realm_access.roles", {"realm_access": ["hpc-users"]}, 403),
        ("groups.a", {"groups": ["hpc-users"]}, 403),
    ],
)
def test_groups_are_found_where_the_setting_says(issuer, configure, browser, claim, claims, status):
    configure(oidc_groups_claim=claim)
    issuer.knows("subject-9", **claims)
    assert issuer.sign_in(browser, "subject-9").status == status


def test_the_last_admin_is_not_demoted_by_a_group(issuer, browser):
    issuer.knows("subject-1", preferred_username="ada", groups=["hpc-admins"])
    issuer.sign_in(browser, "subject-1")
    issuer.knows("subject-1", groups=["hpc-users"])
    page = issuer.sign_in(Browser(), "subject-1")
    assert page.status == 409
    assert "is the last active admin" in page.text


def test_a_blocked_user_is_refused_and_it_is_told(issuer, browser):
    issuer.sign_in(browser, "subject-1")
    users.block(User.objects.get())
    assert browser.get("/account/").status == 302
    page = issuer.sign_in(browser, "subject-1")
    assert page.status == 403
    assert "User ada is blocked" in page.text
    assert browser.get("/account/").status == 302
    assert entries("login.failed") == [("ada", "ada", None, '{"by":"OpenID Connect","why":"blocked"}')]


# Who doesn't


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(issuer, browser):
    """Somebody who signs another's browser in as themselves, to see what it then does."""
    address = issuer.back(Browser(), "subject-1")
    for victim in (browser, signed_out(browser, issuer)):
        page = victim.get(address)
        assert page.status == 403
        assert "this browser didn't begin this sign-in" in page.text.lower()
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
    assert "didn't vouch for you in a way that can be believed" in page.text
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


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "signed by a stranger": lambda claims: signed(claims, STRANGE, "stranger"),
    "signed by a stranger in the issuer's name": lambda claims: signed(claims, STRANGE),
    "signed without naming one of several keys": lambda claims: signed(claims, kid=None),
    "signed by nobody": unsigned,
    "signed by the public key": by_public_key,
    "signed with the right key by another algorithm": lambda claims: signed(claims, algorithm="RS512"),
    "for another client": lambda claims: signed({**claims, "aud": "another"}),
    "for several clients, issued to another": lambda claims: signed(
        {**claims, "aud": [claims["aud"], "x"], "azp": "x"}
    ),
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


def test_a_token_that_can_be_believed_lets_them_in(issuer, browser):
    """The forgeries above are refused for what is forged, and not for being made here."""
    issuer.forge = signed
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


# What else can go wrong


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
    assert "Example University doesn't answer as it should" in page.text
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
    lockout.forgive("ada")


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
