"""Who may see which page, while what they may do changes."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path

from server import urls as server_urls
from server.accounts import credential_cache, roles, signins, tokens, users
from server.accounts.access import PUBLIC, SIGNED_IN, allow
from server.accounts.models import SignIn
from server.core.errors import Unavailable
from tests.dashboard.browser import Browser
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug in a page with a secret in it")


def is_busy(request: HttpRequest) -> HttpResponse:
    raise Unavailable("the database doesn't respond", retry_after=7)


def forgotten(request: HttpRequest) -> HttpResponse:
    return HttpResponse("seen")


handler404 = "server.api.fallback_errors.not_found"
urlpatterns: list[Any] = [
    *server_urls.urlpatterns,
    path("forgotten/", forgotten),
    path("fails/", allow(fails, get=PUBLIC)),
    path("busy/", allow(is_busy, get=SIGNED_IN)),
]


def test_who_lacks_a_permission_is_told_which_and_who_gives_it(signed_in):
    page = signed_in("ada", "researcher").get("/users/")
    assert page.status == 403
    assert "needs the permission “moderate_users”, which the role moderator has" in page.text
    assert "signed in as ada, researcher. Ask an admin for the role" in page.text
    assert "“read_audit”" in signed_in("mo", "moderator").get("/audit/").text


def test_the_links_at_the_top_are_those_that_may_be_followed(signed_in):
    for role, expected in {
        "viewer": {"/account/tokens/"},
        "moderator": {"/account/tokens/", "/users/"},
        "admin": {"/account/tokens/", "/users/", "/audit/"},
    }.items():
        browser = signed_in(f"one-{role}", role)
        links = set(browser.get("/").links()) & {"/account/tokens/", "/users/", "/audit/"}
        assert links == expected
        assert {browser.get(link).status for link in links} == {200}


def test_a_user_who_is_blocked_is_out_at_once(signed_in):
    browser = signed_in()
    users.block(User.objects.get(username="ada"))
    page = browser.get("/account/")
    assert page.response.headers["Location"] == "/login/?next=%2Faccount%2F"
    users.unblock(User.objects.get(username="ada"))
    assert browser.get("/account/").status == 302, "the session is gone, not just asleep"


def test_a_role_that_is_taken_away_counts_at_once(signed_in):
    person("another", "admin")
    browser = signed_in("ada", "admin")
    assert browser.get("/audit/").status == 200
    users.set_role(User.objects.get(username="ada"), "moderator")
    assert browser.get("/audit/").status == 403
    assert browser.get("/users/").status == 200


def test_a_permission_that_a_role_loses_counts_at_once(signed_in):
    browser = signed_in("mo", "moderator")
    group = Group.objects.get(name="moderator")
    group.permissions.remove(group.permissions.get(codename="moderate_users"))
    assert browser.get("/users/").status == 403


def test_a_password_that_is_reset_ends_the_session(signed_in):
    browser = signed_in()
    users.reset_password(User.objects.get(username="ada"))
    assert browser.get("/account/").status == 302


def test_a_password_that_is_changed_past_all_services_ends_the_session(signed_in):
    browser = signed_in()
    user = User.objects.get(username="ada")
    user.set_password("set in a shell, say")
    user.save()
    assert browser.get("/account/").status == 302


def test_a_user_who_is_deleted_is_out(signed_in):
    browser = signed_in()
    User.objects.all().delete()
    assert browser.get("/account/").status == 302


def test_a_sign_in_that_an_admin_ends_is_out_at_once(signed_in):
    browser = signed_in()
    signins.end(SignIn.objects.get())
    assert browser.get("/account/").status == 302


def test_a_sign_in_that_is_too_old_is_out(signed_in):
    browser = signed_in()
    sign_in = SignIn.objects.get()
    SignIn.objects.update(expires_at=sign_in.created_at)
    assert browser.get("/account/").status == 302


def test_a_session_does_not_pass_for_another_users_sign_in(signed_in):
    ada, eve = signed_in("ada"), signed_in("eve")
    session = eve.client.session
    session["sign_in"] = ada.client.session["sign_in"]
    session.save()
    assert eve.get("/account/").status == 302


def test_a_session_lets_nobody_into_the_api(signed_in):
    """What a browser sends by itself is no credential there, so no page elsewhere can make it call."""
    browser = signed_in("ada", "admin")
    credential_cache.clear()
    assert browser.client.get("/api/v1/streams/").status_code == 401
    assert browser.client.post("/api/v1/streams/", {"name": "s"}, "application/json").status_code == 401


def test_a_token_lets_nobody_see_a_page(required, ada):
    browser = Browser(HTTP_AUTHORIZATION=f"Bearer {tokens.create(ada, 'test')[1]}")
    assert browser.get("/account/").status == 302


def test_a_form_that_comes_too_late_leads_to_signing_in(signed_in):
    browser = signed_in()
    page = browser.get("/account/tokens/")
    signins.end(SignIn.objects.get())
    answer = browser.send(page, "/account/tokens/", name="laptop")
    assert (answer.status, answer.response.headers["Location"]) == (303, "/login/")


def test_nobody_needs_to_sign_in_where_the_server_is_open(browser):
    for link in ("/", "/login/", "/account/", "/account/tokens/", "/users/", "/new-user/", "/audit/"):
        page = browser.get(link)
        assert page.status == 200, link
        assert "is open" in page.text, link
    assert "there are no accounts" in browser.get("/account/").text


def test_there_is_nobody_to_be_where_the_server_is_open(browser):
    page = browser.get("/users/")
    token = page.html.find(attrs={"name": "csrfmiddlewaretoken"})
    assert token is None  # nothing to send
    response = browser.client.post("/account/tokens/", {"name": "x"})
    assert response.status_code == 403  # without a form's token
    client = Browser().client
    client.handler.enforce_csrf_checks = False
    assert client.post("/account/tokens/", {"name": "x", "scopes": ["read"]}).status_code == 409


@pytest.mark.urls(__name__)
def test_a_page_that_nobody_declared_is_closed(signed_in):
    for browser in (Browser(), signed_in("ada", "admin")):
        page = browser.get("/forgotten/")
        assert page.status == 403
        assert "has no access declaration" in page.text


@pytest.mark.urls(__name__)
def test_a_bug_is_shown_by_its_number_alone(required, browser):
    page = browser.get("/fails/")
    assert page.status == 500
    assert "secret" not in page.html.decode()
    assert page.response.headers["X-Request-Id"] in page.text


@pytest.mark.urls(__name__)
def test_a_page_that_fails_for_now_says_when_to_try_again(signed_in):
    page = signed_in().get("/busy/")
    assert (page.status, page.response.headers["Retry-After"]) == (503, "7")


def test_a_database_that_fails_is_told_and_not_shown(signed_in, monkeypatch):
    browser = signed_in()

    def down(*args: Any) -> None:
        raise OperationalError("server closed the connection at 10.0.0.1")

    monkeypatch.setattr(signins, "verify_id", down)
    page = browser.get("/account/")
    assert page.status == 503
    assert page.html.find("title").get_text() == "Temporarily unavailable · Tailrace"


def test_a_method_that_a_page_does_not_take_is_refused(signed_in):
    browser = signed_in()
    page = browser.get("/account/password/")
    assert (page.status, page.response.headers["Allow"]) == (405, "POST")
    assert browser.client.head("/account/").status_code == 200


def test_the_person_is_named_in_the_audit_trail(signed_in, audited):
    browser = signed_in()
    browser.send(browser.get("/account/tokens/"), "/account/tokens/", name="laptop")
    assert audited()[-1][:2] == ("ada", "token.create")


def test_every_role_has_the_pages_that_its_permissions_say(signed_in):
    needs = {
        "/users/": "moderate_users",
        "/users/ada/": "moderate_users",
        "/new-user/": "manage_users",
        "/audit/": "read_audit",
    }
    person("ada")
    for role in roles.ROLES:
        browser = signed_in(f"a-{role}", role)
        for link, permission in needs.items():
            may = permission in roles.permissions_of_role(role)
            assert browser.get(link).status == (200 if may else 403), (role, link)
