"""The page of one's own account."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from server.accounts import signins, tokens, users
from server.accounts.models import SignIn
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import bearer, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

NEW = "another horse, another staple"


def change(browser: Browser, old: str = PASSWORD, new: str = NEW, repeated: str | None = None) -> Any:
    fields = {"old_password": old, "new_password": new, "repeated_password": new if repeated is None else repeated}
    return browser.send(browser.get("/account/"), "/account/password/", **fields)


def test_it_shows_who_one_is_and_what_one_may_do(signed_in):
    page = signed_in("ada", "researcher").get("/account/")
    assert page.html.find("h1").get_text() == "ada"
    assert "Post observations and labels" in page.text
    assert "Retract observations" not in page.text


def test_somebody_without_a_role_is_told_to_ask_for_one(signed_in):
    page = signed_in("new", "").get("/account/")
    assert "none yet" in page.text
    assert "ask an admin for a role" in page.text


def test_a_password_is_changed_and_this_browser_stays_signed_in(signed_in, audited):
    browser, other = signed_in(), signed_in()
    answer = change(browser)
    assert "Your password is changed" in browser.follow(answer).text
    assert other.get("/account/").status == 302
    assert Browser().sign_in("ada", PASSWORD).status == 400
    assert Browser().sign_in("ada", NEW).status == 303
    assert ("ada", "user.password", "ada") in audited()


def test_tokens_go_on_working_after_a_change_of_the_password(signed_in, client):
    browser = signed_in()
    secret = tokens.create(User.objects.get(username="ada"), "job")[1]
    assert change(browser).status == 303
    assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 200


@pytest.mark.parametrize(
    "given, field, message",
    [
        ({"old": "not it"}, "old_password", "This is not your password"),
        ({"repeated": "something else"}, "repeated_password", "The two new passwords differ"),
        ({"new": "short"}, "new_password", "This password is too short"),
        ({"new": "password1234"}, "new_password", "too common"),
        ({"new": "123456789012"}, "new_password", "entirely numeric"),
        ({"new": "x" * 5000}, "new_password", "the longest allowed is 4096"),
    ],
)
def test_a_password_that_will_not_do_is_refused_beside_its_field(signed_in, given, field, message):
    browser = signed_in()
    page = change(browser, **given)
    assert page.status == 400
    assert message in page.error_at(field)
    assert [widget["value"] for widget in page.html.select("input[type=password]")] == [""] * 3
    assert browser.get("/account/").status == 200
    assert Browser().sign_in("ada").status == 303


def test_guessing_at_the_old_password_locks_out_too(signed_in, settings):
    browser = signed_in()
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert change(browser, old="a guess").status == 400
    assert change(browser, old="a guess").status == 429
    assert change(browser).status == 429, "the right one doesn't count now either"
    assert browser.get("/account/").status == 200, "what was signed in before stays"


def test_somebody_without_a_password_has_none_to_change(required):
    user = person("robot", "viewer")
    browser = Browser()
    browser.client.force_login(user)
    page = browser.get("/account/")
    assert "You have no password here" in page.text
    assert not page.html.select('form[action="/account/password/"]')


def test_it_lists_where_one_is_signed_in(signed_in):
    browser = signed_in(address="192.0.2.7", HTTP_USER_AGENT="Firefox <b>1</b>")
    users.begin_sign_in(User.objects.get(), address="198.51.100.2", agent="a notebook")
    page = browser.get("/account/")
    listed = [thing.get_text(" ", strip=True) for thing in page.html.select(".thing")]
    assert len(listed) == 2
    assert listed[0].startswith("Notebook or program")
    assert "198.51.100.2" in listed[0]
    assert "this browser" in listed[1]
    assert "Firefox <b>1</b>" in listed[1]


def test_a_sign_in_is_ended_from_another(signed_in):
    here, there = signed_in(), signed_in()
    number = there.client.session["sign_in"]
    answer = here.send(here.get("/account/"), f"/account/sign-ins/{number}/end/")
    assert "The sign-in has ended." in here.follow(answer).text
    assert there.get("/account/").status == 302


def test_ending_this_very_sign_in_signs_out(signed_in):
    browser = signed_in()
    number = browser.client.session["sign_in"]
    answer = browser.send(browser.get("/account/"), f"/account/sign-ins/{number}/end/")
    assert answer.response.headers["Location"] == "/login/"
    assert browser.get("/account/").status == 302


def test_all_others_are_ended_at_once(signed_in):
    here, there = signed_in(), signed_in()
    sign_in, refresh = signins.begin(User.objects.get())
    here.send(here.get("/account/"), "/account/sign-ins/end-others/")
    assert here.get("/account/").status == 200
    assert there.get("/account/").status == 302
    assert signins.verify_id(sign_in.pk) is None
    assert signins.holder(refresh) is None


@pytest.mark.parametrize("number", ["eves", 0, 10**30])
def test_anothers_sign_in_is_as_good_as_none(signed_in, number):
    ada, eve = signed_in("ada"), signed_in("eve")
    number = eve.client.session["sign_in"] if number == "eves" else number
    token = ada.get("/account/").html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
    response = ada.client.post(f"/account/sign-ins/{number}/end/", {"csrfmiddlewaretoken": token})
    assert response.status_code == 404
    assert f"You have no active sign-in with the number {number}" in response.content.decode()
    assert SignIn.objects.filter(revoked_at=None).count() == 2
