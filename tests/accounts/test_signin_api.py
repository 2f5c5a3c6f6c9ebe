"""People sign in over the native API, with an access token and a cookie that holds a rotating refresh token."""

import hashlib
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.core import signing

from server.accounts import signins, users
from server.accounts.models import SignIn
from server.api.v1.signin import COOKIE
from tests.accounts.calls import PASSWORD, anonymous, audited
from tests.api_client import Api, refused
from tests.people import bearer, person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

SIGNIN, REFRESH, ME = "/api/v1/signin/", "/api/v1/signin/refresh/", "/api/v1/me/"
RIGHT = {"user": "ada", "password": PASSWORD}
WRONG = {"user": "ada", "password": "a hill of 11 stones"}


@pytest.fixture
def browser(ada) -> Api:
    """Ada's, signed in."""
    caller = anonymous()
    caller.ok(SIGNIN, RIGHT, 200)
    return caller


def cookie(caller: Api) -> "Morsel[str]":
    found: Morsel[str] = caller.client.cookies[COOKIE]
    return found


def later(seconds: float) -> None:
    """As if every refresh token had been used so long ago."""
    SignIn.objects.update(refreshed_at=datetime.now(UTC) - timedelta(seconds=seconds))


def copied(value: str) -> Api:
    """Another browser that holds a copy of a refresh token."""
    caller = anonymous()
    caller.client.cookies[COOKIE] = value
    return caller


# Signing in


def test_a_password_is_exchanged_for_an_access_token_and_a_cookie(ada):
    caller = anonymous(User_Agent="notebook/1.0")
    response = caller.post(SIGNIN, RIGHT)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    data = response.json()
    assert set(data) == {"token", "expires_in", "issued_at", "user", "role"}
    assert (data["user"], data["role"], data["expires_in"]) == ("ada", "researcher", 600)
    shown = anonymous(**bearer(data["token"])).ok(ME)
    assert (shown["user"], shown["token"]) == ("ada", None)
    (entry,) = audited("signin.begin")
    assert (entry.username, entry.target, entry.address) == ("ada", "ada", "127.0.0.1")
    assert SignIn.objects.get().agent == "notebook/1.0"
    ada.refresh_from_db()
    assert datetime.now(UTC) - ada.last_login < timedelta(minutes=1)


def test_scripts_and_other_sites_never_see_the_cookie_and_it_goes_nowhere_else(browser):
    found = cookie(browser)
    assert found["httponly"] is True
    assert found["samesite"] == "Strict"
    assert found["path"] == SIGNIN
    assert int(found["max-age"]) == signins.LIFETIME.total_seconds()


@pytest.mark.parametrize("is_secure", [True, False])
def test_the_cookie_is_for_https_alone_where_the_settings_say_so(ada, settings, is_secure):
    settings.SESSION_COOKIE_SECURE = is_secure
    caller = anonymous()
    caller.ok(SIGNIN, RIGHT, 200)
    assert bool(cookie(caller)["secure"]) is is_secure


def test_only_the_hash_of_the_refresh_token_is_stored(browser):
    refresh = cookie(browser).value.partition(":")[0]
    assert SignIn.objects.get().hash == hashlib.sha256(refresh.encode()).hexdigest()


def test_a_wrong_user_a_wrong_password_and_a_blocked_user_are_refused_alike(ada):
    person("eve", "admin", password=PASSWORD, is_active=False)
    person("robot", "researcher")  # without a password
    errors = []
    for name, password in (
        ("ada", WRONG["password"]),
        ("ada", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("ADA", PASSWORD),
        ("eve", PASSWORD),
        ("robot", PASSWORD),
    ):
        error = refused(anonymous().post(SIGNIN, {"user": name, "password": password}), 401, code="wrong_password")
        errors.append(error["message"])
    assert len(set(errors)) == 1
    assert not SignIn.objects.exists()


def test_as_much_is_hashed_for_whom_there_is_as_for_whom_there_is_not(ada, monkeypatch):
    person("eve", "admin", password=PASSWORD, is_active=False)
    person("robot", "researcher")
    hashed = []
    encode = hashers.MD5PasswordHasher.encode
    monkeypatch.setattr(
        hashers.MD5PasswordHasher, "encode", lambda *args, **kwargs: hashed.append(1) or encode(*args, **kwargs)
    )
    counts = {}
    for name in ("ada", "nobody", "eve", "robot"):
        hashed.clear()
        refused(anonymous().post(SIGNIN, {"user": name, "password": WRONG["password"]}), 401)
        counts[name] = len(hashed)
    assert set(counts.values()) == {1}, counts


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "user"),
        ({"user": "ada"}, "password"),
        ({"password": PASSWORD}, "user"),
        ({"user": 7, "password": PASSWORD}, "user"),
        ({"user": None, "password": PASSWORD}, "user"),
        ({"user": ["ada"], "password": PASSWORD}, "user"),
        ({"user": "a\x00da", "password": PASSWORD}, "user"),
        ({"user": "x" * 151, "password": PASSWORD}, "user"),
        ({"user": "ada", "password": 7134}, "password"),
        ({"user": "ada", "password": None}, "password"),
        ({"user": "ada", "password": "x" * 4097}, "password"),
        ({**RIGHT, "remember": True}, "remember"),
    ],
)
def test_what_is_no_credential_is_refused_by_its_field(ada, body, field):
    error = refused(anonymous().post(SIGNIN, body), 400, field)
    assert "7134" not in error["message"]


@pytest.mark.one_database
@pytest.mark.parametrize("body", [b" ", b"{", b"[]", b'"ada"', b"\xff"])
def test_what_is_no_json_object_is_refused(ada, body):
    refused(anonymous().post(SIGNIN, body), 400)


def test_a_password_may_hold_any_character(required):
    odd = 'pâss "wörd" \u2028\x00 🔑'
    person("ada", "viewer", password=odd)
    anonymous().ok(SIGNIN, {"user": "ada", "password": odd}, 200)


def test_no_password_and_no_token_is_logged_or_recorded(browser, caplog):
    caplog.set_level("DEBUG")
    planted = [PASSWORD, WRONG["password"], cookie(browser).value.partition(":")[0]]
    planted.append(browser.ok(SIGNIN, RIGHT, 200)["token"])
    anonymous().post(SIGNIN, WRONG)
    planted.append(browser.ok(REFRESH, {}, 200)["token"])
    planted.append(cookie(browser).value.partition(":")[0])
    recorded = "".join(f"{entry.before}{entry.after}{entry.target}" for entry in audited("signin.begin"))
    assert caplog.text
    for secret in planted:
        assert secret not in caplog.text
        assert secret not in recorded


# Lock-out


def test_repeated_failures_lock_out_for_a_while(ada, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        refused(anonymous().post(SIGNIN, WRONG), 401)
    for body in (WRONG, RIGHT):
        response = anonymous().post(SIGNIN, body)
        error = refused(response, 429, code="locked_out")
        assert "tokens still work" in error["message"]
        assert 0 < int(response.headers["Retry-After"]) <= settings.AXES_COOLOFF_TIME.total_seconds()
    assert not SignIn.objects.exists()
    assert len(audited("login.locked")) == 1


def test_a_lock_out_stops_no_token_and_no_sign_in_that_is_there(browser, ada, settings):
    access = browser.ok(REFRESH, {}, 200)["token"]
    for _ in range(settings.AXES_FAILURE_LIMIT):
        anonymous().post(SIGNIN, WRONG)
    refused(anonymous().post(SIGNIN, RIGHT), 429)
    assert anonymous(**bearer(access)).ok(ME)["user"] == "ada"
    browser.ok(REFRESH, {}, 200)


def test_a_new_password_ends_a_lock_out(ada, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT):
        anonymous().post(SIGNIN, WRONG)
    password = users.reset_password(ada)
    anonymous().ok(SIGNIN, {"user": "ada", "password": password}, 200)


def test_a_success_forgives_the_failures_before_it(ada, settings):
    for _ in range(2):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            refused(anonymous().post(SIGNIN, WRONG), 401)
        anonymous().ok(SIGNIN, RIGHT, 200)


# Other origins


@pytest.mark.one_database
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver:81"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_signs_nobody_in_or_out(browser, headers):
    client = browser.client
    before = SignIn.objects.values().get()
    for method, path, body in (("POST", SIGNIN, b"{}"), ("POST", REFRESH, b"{}"), ("DELETE", SIGNIN, b"")):
        refused(client.generic(method, path, body, "application/json", headers=headers), 403, code="origin")
    assert SignIn.objects.values().get() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://testserver"},
        {"Origin": "https://testserver"},  # a proxy ended TLS
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_its_own_pages_may(browser, headers):
    assert browser.post(REFRESH, {}, **headers).status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_what_a_form_can_send_is_not_taken(browser, kind):
    body = b'{"user": "ada", "password": "a hill of 12 stones"}'
    refused(browser.post(SIGNIN, body, kind), 415)
    refused(browser.post(REFRESH, b"{}", kind), 415)


# Refreshing


def test_a_refresh_token_is_exchanged_for_the_next(browser):
    first = cookie(browser).value
    data = browser.ok(REFRESH, {}, 200)
    second = cookie(browser).value
    assert second != first
    assert (data["user"], data["role"]) == ("ada", "researcher")
    assert anonymous(**bearer(data["token"])).ok(ME)["user"] == "ada"
    browser.ok(REFRESH, {}, 200)
    assert SignIn.objects.count() == 1


def test_a_second_use_just_after_the_first_is_another_tab_and_harms_nothing(browser):
    first = cookie(browser).value
    browser.ok(REFRESH, {}, 200)
    refused(copied(first).post(REFRESH, {}), 409, code="rotated")
    browser.ok(REFRESH, {}, 200)


def test_a_refresh_token_that_comes_again_later_was_copied_and_ends_the_sign_in(browser):
    first = cookie(browser).value
    access = browser.ok(REFRESH, {}, 200)["token"]
    later(signins.GRACE.total_seconds() + 1)
    refused(copied(first).post(REFRESH, {}), 401, code="sign_in_ended")
    refused(anonymous(**bearer(access)).get(ME), 401)
    refused(browser.post(REFRESH, {}), 401, code="sign_in_ended")
    (entry,) = audited("signin.end")
    assert "twice" in entry.after


def test_a_guessed_cookie_ends_nobodys_sign_in(browser):
    number = SignIn.objects.get().pk
    later(3600)
    guess = f"trr_{number}_{'0' * 64}"
    forged = signing.get_cookie_signer(salt="other").sign(guess)
    for value in ("", "x", guess, f"{guess}:x", forged, cookie(browser).value[:-1], cookie(browser).value + "0"):
        refused(copied(value).post(REFRESH, {}), 401, code="sign_in_ended")
        assert copied(value).delete(SIGNIN).status_code == 204
    browser.ok(REFRESH, {}, 200)


def test_without_a_cookie_nobody_is_signed_in(ada):
    response = anonymous().post(REFRESH, {})
    refused(response, 401, code="sign_in_ended")
    assert "Www-Authenticate" in response.headers


def test_a_sign_in_that_is_not_used_for_long_ends(browser):
    SignIn.objects.update(expires_at=datetime.now(UTC))
    refused(browser.post(REFRESH, {}), 401, code="sign_in_ended")


def test_refreshing_takes_no_fields(browser):
    refused(browser.post(REFRESH, {"token": "x"}), 400, "token")
    refused(browser.post(REFRESH, [1]), 400)


# Signing out


def test_signing_out_ends_the_sign_in_and_takes_the_cookie_back(browser):
    value = cookie(browser).value
    access = browser.ok(REFRESH, {}, 200)["token"]
    response = browser.delete(SIGNIN)
    assert (response.status_code, response.content) == (204, b"")
    assert response.cookies[COOKIE].value == ""
    assert response.cookies[COOKIE]["path"] == SIGNIN
    refused(anonymous(**bearer(access)).get(ME), 401)
    refused(copied(value).post(REFRESH, {}), 401)
    assert [entry.username for entry in audited("signin.end")] == ["ada"]


def test_signing_out_with_an_older_copy_ends_it_for_whoever_has_the_newest(browser):
    first = cookie(browser).value
    browser.ok(REFRESH, {}, 200)
    assert copied(first).delete(SIGNIN).status_code == 204
    refused(browser.post(REFRESH, {}), 401)


def test_signing_out_twice_or_without_a_cookie_changes_nothing(browser):
    value = cookie(browser).value
    for caller in (browser, copied(value), anonymous()):
        assert caller.delete(SIGNIN).status_code == 204
    assert len(audited("signin.end")) == 1


def test_one_sign_in_ends_and_others_go_on(browser, ada):
    other = anonymous()
    other.ok(SIGNIN, RIGHT, 200)
    browser.delete(SIGNIN)
    other.ok(REFRESH, {}, 200)


# Changes meanwhile


def test_a_user_who_is_blocked_is_out_at_once_and_stays_out_until_they_sign_in_anew(browser, ada):
    access = browser.ok(REFRESH, {}, 200)["token"]
    users.block(ada)
    refused(anonymous(**bearer(access)).get(ME), 401)
    refused(browser.post(REFRESH, {}), 401)
    refused(anonymous().post(SIGNIN, RIGHT), 401)
    users.unblock(ada)
    refused(anonymous(**bearer(access)).get(ME), 401)
    refused(browser.post(REFRESH, {}), 401)
    browser.ok(SIGNIN, RIGHT, 200)


def test_a_role_that_is_taken_away_is_taken_from_an_open_access_token_too(required):
    person("root", "admin")
    grace = person("grace", "admin", password=PASSWORD)
    caller = anonymous(**bearer(anonymous().ok(SIGNIN, {"user": "grace", "password": PASSWORD}, 200)["token"]))
    assert caller.get("/api/v1/audit/").status_code == 200
    users.set_role(grace, "viewer")
    refused(caller.get("/api/v1/audit/"), 403)
    users.set_role(grace, "admin")
    assert caller.get("/api/v1/audit/").status_code == 200


@pytest.mark.parametrize("change", ["block", "password"])
def test_nobody_gets_in_on_a_password_that_was_taken_back_while_it_was_checked(ada, monkeypatch, change):
    from django.contrib.auth.backends import ModelBackend

    check = ModelBackend.authenticate

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        found = check(*args, **kwargs)
        again = User.objects.get(username="ada")
        users.block(again) if change == "block" else users.reset_password(again)
        return found

    monkeypatch.setattr(ModelBackend, "authenticate", meanwhile)
    refused(anonymous().post(SIGNIN, RIGHT), 401, code="wrong_password")
    assert not SignIn.objects.exists()
