"""Users over the native API: made, given a role, blocked, given a password, signed out."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from server.accounts import roles, signins, users
from server.accounts.models import AuditEntry, SignIn
from tests.accounts.calls import PASSWORD, anonymous, audited, signed_in, with_token
from tests.api_client import refused
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

USERS, ME, SIGNIN = "/api/v1/users/", "/api/v1/me/", "/api/v1/signin/"
ROLES = ("", *roles.ROLES)
CHANGES = ("block/", "unblock/", "password/")


def entry(action: str) -> AuditEntry:
    (found,) = audited(action)
    return found


# Making and looking


def test_an_admin_makes_a_user_who_signs_in(admin):
    response = admin.post(USERS, {"user": "ada", "role": "researcher", "password": PASSWORD})
    assert response.status_code == 201
    shown = response.json()
    assert (shown["user"], shown["role"], shown["active"]) == ("ada", "researcher", True)
    assert (shown["has_password"], shown["last_sign_in"]) == (True, None)
    assert PASSWORD not in response.content.decode()
    assert admin.ok(response.headers["Location"]) == shown
    anonymous().ok(SIGNIN, {"user": "ada", "password": PASSWORD}, 200)
    assert admin.ok(USERS + "ada/")["last_sign_in"] is not None
    made = entry("user.create")
    assert (made.username, made.target) == ("root", "ada")
    assert made.after == '{"role":"researcher","has_password":true}'


def test_a_user_is_a_viewer_without_a_password_unless_it_is_said_otherwise(admin):
    for body in ({"user": "ada"}, {"user": "grace", "password": None}):
        shown = admin.ok(USERS, body, 201)
        assert (shown["role"], shown["has_password"]) == ("viewer", False)
    assert roles.permissions_of(User.objects.get(username="ada").pk, is_superuser=False) == {"read"}


@pytest.mark.parametrize("name", ["a", "ada@lovelace.org", "ada.lovelace+1", "_ada-2", "7", "x" * 150])
def test_names_of_people_and_programs_are_taken(admin, name):
    response = admin.post(USERS, {"user": name})
    assert response.status_code == 201
    assert admin.ok(response.headers["Location"])["user"] == name


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "user"),
        ({"user": ""}, "user"),
        ({"user": "."}, "user"),
        ({"user": ".."}, "user"),
        ({"user": "-rf"}, "user"),
        ({"user": "a b"}, "user"),
        ({"user": "a:b"}, "user"),
        ({"user": "a/b"}, "user"),
        ({"user": "ada\n"}, "user"),
        ({"user": "a\x00"}, "user"),
        ({"user": "аda"}, "user"),
        ({"user": "x" * 151}, "user"),
        ({"user": 7}, "user"),
        ({"user": None}, "user"),
        ({"user": "ada", "role": "root"}, "role"),
        ({"user": "ada", "role": ""}, "role"),
        ({"user": "ada", "role": None}, "role"),
        ({"user": "ada", "role": ["admin"]}, "role"),
        ({"user": "ada", "password": ""}, "password"),
        ({"user": "ada", "password": "short"}, "password"),
        ({"user": "ada", "password": 713471347134}, "password"),
        ({"user": "ada-lovelace-1815", "password": "ada-lovelace-1815"}, "password"),
        ({"user": "ada", "active": False}, "active"),
    ],
)
def test_what_is_no_user_is_refused_by_its_field(admin, body, field):
    error = refused(admin.post(USERS, body), 400, field)
    assert "7134" not in error["message"]
    assert User.objects.count() == 1
    assert not audited("user.create")


@pytest.mark.parametrize("name", ["ada", "ADA", "Ada"])
def test_a_name_is_taken_by_its_letters(admin, name):
    person("ada")
    refused(admin.post(USERS, {"user": name}), 409, "user", "exists")
    assert User.objects.count() == 2


def test_moderators_see_all_users_and_their_roles(required):
    for role in ROLES:
        person(f"user-{role}", role)
    superuser = User.objects.create_superuser("super")
    moderator = signed_in(User.objects.get(username="user-moderator"))
    listed = moderator.ok(USERS)["users"]
    assert {user["user"]: user["role"] for user in listed} == {
        "super": "admin",
        "user-": None,
        **{f"user-{role}": role for role in roles.ROLES},
    }
    for user in listed:
        assert moderator.ok(f"{USERS}{user['user']}/") == user
    refused(moderator.get(USERS + "nobody/"), 404, "user")
    refused(moderator.get(USERS + "a%00/"), 404, "user")
    assert superuser.is_active


def test_the_list_takes_as_many_reads_however_many_there_are(admin, django_assert_max_num_queries):
    for n in range(20):
        person(f"user-{n}")
    with django_assert_max_num_queries(6):
        assert len(admin.ok(USERS)["users"]) == 21


@pytest.mark.parametrize("role", ["", "viewer", "researcher", "moderator"])
def test_who_does_not_manage_users_changes_none(required, role):
    caller = signed_in(person("ada", role))
    theirs = person("victim", "")
    refused(caller.post(USERS, {"user": "new"}), 403)
    refused(caller.patch(USERS + "victim/", {"role": "viewer"}), 403)
    if role != "moderator":
        for path in ("", "victim/", "nobody/"):
            refused(caller.get(USERS + path), 403)
        for path in CHANGES:
            refused(caller.post(f"{USERS}victim/{path}", None), 403)
    theirs.refresh_from_db()
    assert (User.objects.count(), roles.role_of(theirs), theirs.is_active) == (2, "", True)


def test_nobody_unknown_comes_near(required):
    person("ada")
    for path in ("", "ada/", "ada/sign-ins/"):
        refused(anonymous().get(USERS + path), 401)
    for path in CHANGES:
        refused(anonymous().post(f"{USERS}ada/{path}", None), 401)


# Roles


def test_a_role_counts_from_the_next_request_on_for_what_is_open_already(admin):
    ada = person("ada", "viewer")
    access, program = signed_in(ada), with_token(ada)
    stream = {"name": "s", "target": {"name": "y"}}
    for caller in (access, program):
        refused(caller.post("/api/v1/streams/", stream), 403)
    assert admin.patch(USERS + "ada/", {"role": "researcher"}).json()["role"] == "researcher"
    assert access.post("/api/v1/streams/", stream).status_code == 201
    assert program.post("/api/v1/streams/", {**stream, "name": "t"}).status_code == 201
    assert admin.patch(USERS + "ada/", {"role": "viewer"}).json()["role"] == "viewer"
    for caller in (access, program):
        refused(caller.post("/api/v1/streams/", {**stream, "name": "u"}), 403)
    given, taken = audited("user.role")
    assert (given.username, given.target) == ("root", "ada")
    assert (given.before, given.after) == ('{"role":"viewer"}', '{"role":"researcher"}')
    assert (taken.before, taken.after) == ('{"role":"researcher"}', '{"role":"viewer"}')


def test_the_same_role_again_is_no_change(admin):
    person("ada", "viewer")
    assert admin.patch(USERS + "ada/", {"role": "viewer"}).status_code == 200
    assert not audited("user.role")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "role"),
        ({"role": "root"}, "role"),
        ({"role": None}, "role"),
        ({"role": "viewer", "active": True}, "active"),
    ],
)
def test_what_is_no_role_is_refused(admin, body, field):
    person("ada", "researcher")
    refused(admin.patch(USERS + "ada/", body), 400, field)
    refused(admin.patch(USERS + "nobody/", {"role": "viewer"}), 404, "user")
    assert admin.ok(USERS + "ada/")["role"] == "researcher"


def test_the_last_active_admin_stays_one(admin, root):
    refused(admin.patch(USERS + "root/", {"role": "viewer"}), 409, code="last_admin")
    blocked = person("blocked", "admin", is_active=False)
    refused(admin.patch(USERS + "root/", {"role": "viewer"}), 409, code="last_admin")
    assert admin.patch(USERS + "blocked/", {"role": "viewer"}).status_code == 200
    assert roles.role_of(blocked) == "viewer"
    person("ada", "admin")
    assert admin.patch(USERS + "root/", {"role": "viewer"}).status_code == 200
    refused(admin.get(USERS), 403)


def test_a_superuser_who_gets_another_role_is_one_no_longer(admin):
    User.objects.create_superuser("super")
    assert admin.patch(USERS + "super/", {"role": "viewer"}).json()["role"] == "viewer"
    found = User.objects.get(username="super")
    assert (found.is_superuser, found.is_staff) == (False, False)


# Blocking


def test_a_blocked_users_credentials_all_stop_at_once(admin):
    ada = person("ada", password=PASSWORD)
    browser = anonymous()
    access = anonymous(
        Authorization=f"Bearer {browser.ok(SIGNIN, {'user': 'ada', 'password': PASSWORD}, 200)['token']}"
    )
    program = with_token(ada)
    for caller in (access, program):
        assert caller.get(ME).status_code == 200
    assert admin.post(USERS + "ada/block/", None).json()["active"] is False
    for caller in (access, program):
        refused(caller.get(ME), 401)
        refused(caller.post("/api/v1/streams/s/observations/", {"x": {"a": 1}, "y": 2}), 401)
    refused(browser.post(SIGNIN + "refresh/", {}), 401)
    refused(anonymous().post(SIGNIN, {"user": "ada", "password": PASSWORD}), 401)
    blocked = entry("user.block")
    assert (blocked.username, blocked.target, blocked.after) == ("root", "ada", '{"active":false}')


def test_an_unblocked_users_tokens_work_again_and_they_sign_in_anew(admin):
    ada = person("ada")
    access, program = signed_in(ada), with_token(ada)
    admin.post(USERS + "ada/block/", None)
    assert admin.post(USERS + "ada/unblock/", None).json()["active"] is True
    assert program.ok(ME)["user"] == "ada"
    refused(access.get(ME), 401)
    assert entry("user.unblock").after == '{"active":true}'


def test_blocking_or_unblocking_again_changes_nothing(admin):
    person("ada")
    for path, active in (("unblock/", True), ("block/", False), ("block/", False), ("unblock/", True)):
        assert admin.post(f"{USERS}ada/{path}", None).json()["active"] is active
    assert (len(audited("user.block")), len(audited("user.unblock"))) == (1, 1)


@pytest.mark.parametrize("own", ["moderator", "admin"])
@pytest.mark.parametrize("theirs", ROLES)
def test_moderators_reach_roles_below_theirs_and_admins_everybody(root, own, theirs):
    caller = signed_in(person("ada", own))
    target = person("target", theirs)
    before = target.password
    may = own == "admin" or roles.rank(theirs) < roles.rank(own)
    for path in CHANGES:
        response = caller.post(f"{USERS}target/{path}", None)
        if may:
            assert response.status_code == 200
        else:
            error = refused(response, 403, code="rank")
            assert theirs in error["message"]
    target.refresh_from_db()
    assert target.is_active
    assert (target.password != before) is may


def test_a_superuser_counts_as_an_admin(required):
    User.objects.create_superuser("super")
    caller = signed_in(person("ada", "moderator"))
    for path in CHANGES:
        refused(caller.post(f"{USERS}super/{path}", None), 403, code="rank")


@pytest.mark.parametrize("role", ["moderator", "admin"])
def test_nobody_does_it_to_themselves(root, role):
    caller = signed_in(person("ada", role))
    for path in CHANGES:
        refused(caller.post(f"{USERS}ada/{path}", None), 403, code="oneself")
    assert caller.ok(ME)["role"] == role


def test_the_last_active_admin_is_blocked_by_nobody(db):
    person("root", "admin")
    refused(anonymous().post(USERS + "root/block/", None), 409, code="last_admin")
    person("blocked", "admin", is_active=False)
    refused(anonymous().post(USERS + "root/block/", None), 409, code="last_admin")
    person("ada", "admin")
    assert anonymous().post(USERS + "root/block/", None).status_code == 200


@pytest.mark.parametrize("path", CHANGES)
def test_who_is_not_there_is_not_there(admin, path):
    refused(admin.post(f"{USERS}nobody/{path}", None), 404, "user")


# Passwords


def test_a_new_password_is_shown_once_and_ends_what_the_old_one_began(admin):
    ada = person("ada", password=PASSWORD)
    access, program = signed_in(ada), with_token(ada)
    response = admin.post(USERS + "ada/password/", None)
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    shown = response.json()
    assert shown["user"] == "ada"
    assert len(shown["password"]) >= 20
    refused(access.get(ME), 401)
    refused(anonymous().post(SIGNIN, {"user": "ada", "password": PASSWORD}), 401)
    anonymous().ok(SIGNIN, {"user": "ada", "password": shown["password"]}, 200)
    assert program.ok(ME)["user"] == "ada"
    reset = entry("user.password")
    assert (reset.username, reset.target, reset.after) == ("root", "ada", '{"password":"reset"}')
    assert admin.post(USERS + "ada/password/", None).json()["password"] != shown["password"]


@pytest.mark.parametrize(
    "end",
    [
        lambda admin: admin.post(USERS + "ada/password/", None),
        lambda admin: admin.post(USERS + "ada/block/", None),
        lambda admin: admin.delete(USERS + "ada/sign-ins/"),
    ],
    ids=["password", "block", "sign out"],
)
def test_the_sessions_of_pages_end_too(admin, client, end):
    ada = person("ada", password=PASSWORD)
    client.post("/login/", {"username": "ada", "password": PASSWORD})
    assert client.get("/account/").status_code == 200
    assert end(admin).status_code in (200, 204)
    users.unblock(ada)
    assert client.get("/account/").status_code == 302


# Sign-ins


def test_people_see_where_they_are_signed_in_and_end_it(root):
    ada = person("ada", password=PASSWORD)
    anonymous(User_Agent="notebook/1.0").ok(SIGNIN, {"user": "ada", "password": PASSWORD}, 200)
    caller, program = signed_in(ada), with_token(ada)
    newest, first = caller.ok(USERS + "ada/sign-ins/")["sign_ins"]
    assert set(first) == {"id", "created_at", "refreshed_at", "expires_at", "address", "agent"}
    assert (first["address"], first["agent"]) == ("127.0.0.1", "notebook/1.0")
    assert newest["id"] > first["id"]
    response = caller.delete(USERS + "ada/sign-ins/")
    assert (response.status_code, response.content) == (204, b"")
    refused(caller.get(ME), 401)
    assert program.ok(USERS + "ada/sign-ins/") == {"sign_ins": []}
    assert [found.username for found in audited("signin.end")] == ["ada", "ada"]


def test_an_admin_ends_anybodys(admin):
    ada = person("ada")
    caller = signed_in(ada)
    assert len(admin.ok(USERS + "ada/sign-ins/")["sign_ins"]) == 1
    assert admin.delete(USERS + "ada/sign-ins/").status_code == 204
    refused(caller.get(ME), 401)
    assert entry("signin.end").username == "root"


@pytest.mark.parametrize("role", ["", "viewer", "researcher", "moderator"])
def test_others_sign_ins_are_not_there(required, role):
    grace = person("grace")
    signins.begin(grace)
    caller = signed_in(person("ada", role))
    for name in ("grace", "nobody"):
        refused(caller.get(f"{USERS}{name}/sign-ins/"), 404, "user")
        refused(caller.delete(f"{USERS}{name}/sign-ins/"), 404, "user")
    assert SignIn.objects.filter(user=grace, revoked_at=None).exists()


@pytest.mark.parametrize("scopes", [["learn"], ["predict"], ["read"]])
def test_a_token_without_the_scope_manage_ends_none(required, scopes):
    ada = person("ada")
    signins.begin(ada)
    caller = with_token(ada, scopes)
    refused(caller.delete(USERS + "ada/sign-ins/"), 403, code="scope")
    assert caller.get(USERS + "ada/sign-ins/").status_code == (200 if scopes == ["read"] else 403)
    assert SignIn.objects.filter(revoked_at=None).exists()


# Tokens as callers


def test_an_admins_token_manages_users_as_far_as_its_scopes_reach(root):
    person("ada")
    assert with_token(root, ["manage"]).post(USERS + "ada/block/", None).status_code == 200
    for scopes in (["learn"], ["predict"], ["read"]):
        caller = with_token(root, scopes)
        refused(caller.post(USERS + "ada/unblock/", None), 403)
        refused(caller.get(USERS), 403)
    assert not User.objects.get(username="ada").is_active
    assert entry("user.block").token_id is not None


def test_a_token_for_some_streams_has_no_say_about_the_whole_server(root):
    person("ada")
    caller = with_token(root, streams=["s"])
    for path in (USERS, USERS + "ada/", USERS + "root/sign-ins/", "/api/v1/audit/", "/api/v1/settings/"):
        refused(caller.get(path), 403)
    refused(caller.post(USERS, {"user": "new", "role": "admin"}), 403)
    refused(caller.patch(USERS + "ada/", {"role": "admin"}), 403)
    for path in CHANGES:
        refused(caller.post(f"{USERS}ada/{path}", None), 403)
    refused(caller.delete(USERS + "root/sign-ins/"), 403)
    assert not audited("user.create")


# Where nobody is asked


def test_where_nobody_is_asked_everybody_manages_users(db):
    caller = anonymous()
    caller.ok(USERS, {"user": "ada", "role": "researcher", "password": PASSWORD}, 201)
    for path in CHANGES:
        assert caller.post(f"{USERS}ada/{path}", None).status_code == 200
    assert caller.ok(USERS + "ada/sign-ins/") == {"sign_ins": []}
    assert [user["user"] for user in caller.ok(USERS)["users"]] == ["ada"]


def test_a_change_that_cannot_be_recorded_does_not_happen(admin, monkeypatch):
    from server.core import audit_signals

    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the trail is full")

    ada = person("ada", "viewer", password=PASSWORD)
    monkeypatch.setattr(audit_signals, "send", fails)
    for call in (
        lambda: users.create("new"),
        lambda: users.set_role(ada, "admin"),
        lambda: users.block(ada),
        lambda: users.reset_password(ada),
        lambda: users.change_password(ada, "another hill, of 13 stones"),
    ):
        with pytest.raises(RuntimeError):
            call()
    found = User.objects.get(username="ada")
    assert (found.is_active, roles.role_of(found), found.check_password(PASSWORD)) == (True, "viewer", True)
    assert User.objects.count() == 2
