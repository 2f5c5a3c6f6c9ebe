"""Who the caller is, what they may do, and their password, over the native API."""

import pytest

from server.accounts import roles, tokens, users
from server.accounts.models import SignIn
from tests.accounts.calls import PASSWORD, anonymous, audited, signed_in, with_token
from tests.api_client import refused
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

ME = "/api/v1/me/"
NEW = "another hill, of 13 stones"


def test_a_person_sees_their_role_and_all_that_it_allows(ada):
    shown = signed_in(ada).ok(ME)
    assert {one["of"] for one in shown.pop("quotas")} == {"user"}
    assert shown == {
        "auth": "required",
        "user": "ada",
        "role": "researcher",
        "permissions": ["change_own", "create", "create_by_posting", "learn", "predict", "read"],
        "token": None,
    }


def test_a_program_sees_its_token_and_what_that_allows_and_never_its_secret(ada):
    token, secret = tokens.create(ada, "cluster jobs", scopes=["learn"], streams=["s"])
    response = anonymous(Authorization=f"Bearer {secret}").get(ME)
    shown = response.json()
    assert (shown["user"], shown["role"], shown["permissions"]) == ("ada", "researcher", ["learn"])
    assert {name: shown["token"][name] for name in ("id", "name", "scopes", "streams", "expires_at")} == {
        "id": token.pk,
        "name": "cluster jobs",
        "scopes": ["learn"],
        "streams": ["s"],
        "expires_at": None,
    }
    assert secret not in response.content.decode()


def test_somebody_without_a_role_may_come_in_and_do_nothing(required):
    shown = signed_in(person("ada", "")).ok(ME)
    assert (shown["role"], shown["permissions"]) == (None, [])


def test_where_nobody_is_asked_everybody_may_do_everything(db):
    assert anonymous().ok(ME) == {
        "auth": "open",
        "user": None,
        "role": None,
        "permissions": sorted(roles.ALL),
        "token": None,
        "quotas": [],
    }


def test_nobody_is_told_nothing(required):
    refused(anonymous().get(ME), 401)


def test_a_role_that_was_given_or_taken_counts_from_the_next_call_on(ada):
    caller = signed_in(ada)
    for role in ("admin", "viewer"):
        person(f"other {role}", "admin")
        users.set_role(ada, role)
        assert caller.ok(ME)["permissions"] == sorted(roles.permissions_of_role(role))


# The own password


def test_a_person_changes_their_password_and_signs_in_anew(ada):
    caller = signed_in(ada)
    response = caller.post(ME + "password/", {"old": PASSWORD, "new": NEW})
    assert (response.status_code, response.content) == (204, b"")
    ada.refresh_from_db()
    assert ada.check_password(NEW)
    assert not SignIn.objects.filter(revoked_at=None).exists()
    refused(caller.get(ME), 401)
    refused(anonymous().post("/api/v1/signin/", {"user": "ada", "password": PASSWORD}), 401, code="wrong_password")
    anonymous().ok("/api/v1/signin/", {"user": "ada", "password": NEW}, 200)
    (entry,) = audited("user.password")
    assert (entry.username, entry.target, entry.after) == ("ada", "ada", '{"password":"changed"}')


def test_tokens_outlive_a_change_of_the_password(ada):
    program = with_token(ada)
    users.change_password(ada, NEW)
    assert program.ok(ME)["user"] == "ada"


def test_the_old_password_must_be_right_and_failures_count_towards_the_lock_out(ada, settings):
    caller = signed_in(ada)
    wrong = {"old": "a hill of 11 stones", "new": NEW}
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        refused(caller.post(ME + "password/", wrong), 401, code="wrong_password")
    refused(caller.post(ME + "password/", wrong), 429, code="locked_out")
    refused(caller.post(ME + "password/", {"old": PASSWORD, "new": NEW}), 429, code="locked_out")
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "new, rule",
    [
        ("", "too short"),
        ("eleven char", "too short"),
        ("password1234", "too common"),
        ("31415926535897932384", "entirely numeric"),
        ("ada.lovelace.ada", "too similar"),
    ],
)
def test_a_weak_password_is_refused_by_the_rule_that_it_breaks(required, new, rule):
    lovelace = person("ada.lovelace", "viewer", password=PASSWORD)
    error = refused(
        signed_in(lovelace).post(ME + "password/", {"old": PASSWORD, "new": new}), 400, "new", "weak_password"
    )
    assert rule in error["message"]
    assert not new or new not in error["message"]
    lovelace.refresh_from_db()
    assert lovelace.check_password(PASSWORD)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, field",
    [
        ({"old": PASSWORD}, "new"),
        ({"new": NEW}, "old"),
        ({"old": 7134, "new": NEW}, "old"),
        ({"old": PASSWORD, "new": 7134}, "new"),
        ({"old": PASSWORD, "new": None}, "new"),
        ({"old": PASSWORD, "new": "x" * 4097}, "new"),
        ({"old": "x" * 4097, "new": NEW}, "old"),
        ({"old": PASSWORD, "new": NEW, "user": "grace"}, "user"),
    ],
)
def test_what_is_no_change_of_a_password_is_refused_and_shown_to_nobody(ada, body, field):
    error = refused(signed_in(ada).post(ME + "password/", body), 400, field)
    assert "7134" not in error["message"]


def test_a_program_has_no_password_to_change(ada):
    refused(with_token(ada).post(ME + "password/", {"old": PASSWORD, "new": NEW}), 403, code="person")
    refused(anonymous().post(ME + "password/", {"old": PASSWORD, "new": NEW}), 401)


def test_a_form_of_another_page_cannot_change_it(ada):
    body = b'{"old": "a hill of 12 stones", "new": "another hill, of 13 stones"}'
    refused(signed_in(ada).post(ME + "password/", body, "text/plain"), 415)


def test_where_nobody_is_asked_nobody_has_a_password_of_their_own(db):
    refused(anonymous().post(ME + "password/", {"old": PASSWORD, "new": NEW}), 409)
