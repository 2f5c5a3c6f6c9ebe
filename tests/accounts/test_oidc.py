"""Signing in by OpenID Connect, at a real issuer on this machine: who comes in, and what they may do."""

import pytest
from django.contrib.auth.models import User

from server.accounts import roles, tokens, users
from server.accounts.models import AuditEntry, ExternalIdentity, SignIn
from tests.accounts.issuer import nobody_came_in
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import bearer, person

pytestmark = pytest.mark.django_db


def entries(action: str) -> list[tuple[str, str, str | None, str | None]]:
    found = AuditEntry.objects.filter(action=action).order_by("number")
    return list(found.values_list("username", "target", "before", "after"))


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
    assert f"researcher, signed in through {issuer.url}." in browser.get("/account/").text
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


@pytest.mark.one_database
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
    assert "Example University authenticated you, but none of your groups there has a role here" in page.text
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


@pytest.mark.one_database
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
