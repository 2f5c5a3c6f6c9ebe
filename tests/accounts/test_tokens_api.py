"""Tokens over the native API: made, listed, looked at, rotated, revoked, and never more than they may be."""

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from server.accounts import tokens, users
from server.accounts.models import Token
from tests.accounts.calls import anonymous, audited, signed_in, with_token
from tests.api_client import Api, refused
from tests.people import bearer, person, secret_of

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens/"
ME = "/api/v1/me/"


@pytest.fixture
def grace(required) -> User:
    return person("grace", "researcher")


def made(caller: Api, **fields: Any) -> Any:
    return caller.ok(TOKENS, {"name": "jobs", **fields}, 201)


def names(caller: Api, query: str = "") -> list[str]:
    return [token["name"] for token in caller.ok(TOKENS + query)["tokens"]]


def own(secret: str) -> Token:
    return Token.objects.get(hash=tokens.hash_of(secret))


# Making


def test_a_person_makes_a_token_whose_secret_is_shown_once(ada):
    caller = signed_in(ada)
    response = caller.post(TOKENS, {"name": "cluster jobs", "scopes": ["learn"], "streams": ["t", "s"], "days": 30})
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    shown = response.json()
    secret = shown.pop("token")
    assert re.fullmatch(r"trc_[0-9a-f]{64}", secret)
    assert (shown["user"], shown["name"], shown["works"]) == ("ada", "cluster jobs", True)
    assert (shown["scopes"], shown["streams"]) == (["learn"], ["s", "t"])
    assert shown["hint"] == secret[-4:]
    lasts = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < lasts <= timedelta(days=30)
    assert caller.ok(response.headers["Location"]) == shown
    assert secret not in caller.get(TOKENS).content.decode()
    assert anonymous(**bearer(secret)).ok(ME)["permissions"] == ["learn"]
    (entry,) = audited("token.create")
    assert (entry.username, entry.target, entry.token_id) == ("ada", str(shown["id"]), None)
    assert secret not in entry.after


def test_what_is_not_said_is_everything_for_ever(ada):
    shown = made(signed_in(ada))
    assert shown["scopes"] == ["learn", "predict", "read", "manage"]
    assert (shown["streams"], shown["expires_at"]) == (None, None)
    assert made(signed_in(ada), streams=None, days=None)["streams"] is None


def test_a_viewer_may_have_tokens_that_can_do_no_more_than_they(required):
    secret = made(signed_in(person("vera", "viewer")))["token"]
    assert anonymous(**bearer(secret)).ok(ME)["permissions"] == ["read"]
    refused(anonymous(**bearer(secret)).post("/api/v1/streams/", {"name": "s", "target": {"name": "y"}}), 403)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": 7}, "name"),
        ({"name": None}, "name"),
        ({"name": "n", "scopes": []}, "scopes"),
        ({"name": "n", "scopes": "learn"}, "scopes"),
        ({"name": "n", "scopes": ["admin"]}, "scopes"),
        ({"name": "n", "scopes": ["learn", 1]}, "scopes"),
        ({"name": "n", "scopes": None}, "scopes"),
        ({"name": "n", "streams": []}, "streams"),
        ({"name": "n", "streams": "s"}, "streams"),
        ({"name": "n", "streams": ["../s"]}, "streams"),
        ({"name": "n", "streams": {"s": 1}}, "streams"),
        ({"name": "n", "streams": ["s"] * 1001}, "streams"),
        ({"name": "n", "streams": 3}, "streams"),
        ({"name": "n", "days": 0}, "days"),
        ({"name": "n", "days": -1}, "days"),
        ({"name": "n", "days": 3651}, "days"),
        ({"name": "n", "days": 1.5}, "days"),
        ({"name": "n", "days": True}, "days"),
        ({"name": "n", "days": "30"}, "days"),
        ({"name": "n", "user": "root"}, "user"),
        ({"name": "n", "expires_at": "2027-01-01"}, "expires_at"),
    ],
)
def test_what_is_no_token_is_refused_by_its_field(ada, body, field):
    refused(signed_in(ada).post(TOKENS, body), 400, field)
    assert not Token.objects.exists()


def test_where_nobody_is_asked_a_token_would_be_nobodys(db):
    error = refused(anonymous().post(TOKENS, {"name": "jobs"}), 409)
    assert "create_token" in error["message"]


# What a token may make


def test_a_token_with_the_scope_manage_makes_one_that_has_as_much(ada):
    secret = secret_of(ada, ["manage", "learn"], ["s", "t"])
    Token.objects.update(expires_at=datetime.now(UTC) + timedelta(days=3))
    shown = made(anonymous(**bearer(secret)))
    assert (shown["scopes"], shown["streams"]) == (["learn", "manage"], ["s", "t"])
    assert datetime.fromisoformat(shown["expires_at"]) == own(secret).expires_at
    (_, entry) = audited("token.create")
    assert entry.token_id == own(secret).pk


def test_a_token_with_the_scope_manage_makes_one_that_has_less(ada):
    caller = with_token(ada, ["manage", "learn"], ["s", "t"])
    shown = made(caller, scopes=["learn"], streams=["t"], days=1)
    assert (shown["scopes"], shown["streams"]) == (["learn"], ["t"])
    assert made(with_token(ada), streams=["s"])["streams"] == ["s"]


@pytest.mark.parametrize(
    "more, field",
    [
        ({"scopes": ["learn", "predict"]}, "scopes"),
        ({"scopes": ["read"]}, "scopes"),
        ({"streams": ["s", "u"]}, "streams"),
        ({"streams": None}, "streams"),
        ({"days": 11}, "days"),
        ({"days": None}, "days"),
    ],
)
def test_a_token_never_makes_one_that_has_more(ada, more, field):
    secret = secret_of(ada, ["manage", "learn"], ["s", "t"])
    Token.objects.update(expires_at=datetime.now(UTC) + timedelta(days=10))
    refused(anonymous(**bearer(secret)).post(TOKENS, {"name": "jobs", **more}), 403, field)
    assert Token.objects.count() == 1
    assert len(audited("token.create")) == 1


@pytest.mark.parametrize("scopes", [["learn"], ["predict"], ["read"], ["learn", "predict", "read"]])
def test_a_token_without_the_scope_manage_changes_no_token(ada, scopes):
    number = tokens.create(ada, "other")[0].pk
    caller = with_token(ada, scopes)
    refused(caller.post(TOKENS, {"name": "jobs", "scopes": ["learn"]}), 403, code="scope")
    refused(caller.post(f"{TOKENS}{number}/rotate/", {}), 403, code="scope")
    refused(caller.delete(f"{TOKENS}{number}/"), 403, code="scope")
    assert Token.objects.filter(revoked_at=None, expires_at=None).count() == 2


@pytest.mark.parametrize("scopes, status", [(["learn"], 403), (["predict"], 403), (["read"], 200), (["manage"], 200)])
def test_a_job_that_can_only_learn_cannot_list_tokens(ada, scopes, status):
    caller = with_token(ada, scopes)
    number = Token.objects.get().pk
    assert caller.get(TOKENS).status_code == status
    assert caller.get(f"{TOKENS}{number}/").status_code == status


# Seeing


def test_everybody_sees_their_own_the_newest_first(ada, grace):
    tokens.create(grace, "hers")
    tokens.create(ada, "first")
    tokens.create(ada, "second")
    caller = signed_in(ada)
    assert names(caller) == names(caller, "?user=ada") == ["second", "first"]


def test_tokens_that_ended_are_shown_as_such(ada):
    caller = signed_in(ada)
    revoked, expired = tokens.create(ada, "revoked")[0], tokens.create(ada, "expired")[0]
    tokens.revoke(revoked)
    Token.objects.filter(pk=expired.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    tokens.create(ada, "good")
    assert [token["works"] for token in caller.ok(TOKENS)["tokens"]] == [True, False, False]


def test_a_long_list_comes_in_pages(ada):
    caller = signed_in(ada)
    for n in range(5):
        tokens.create(ada, f"t{n}")
    first = caller.ok(TOKENS + "?limit=2")
    second = caller.ok(f"{TOKENS}?limit=2&before={first['next']}")
    last = caller.ok(f"{TOKENS}?limit=2&before={second['next']}")
    assert [[token["name"] for token in page["tokens"]] for page in (first, second, last)] == [
        ["t4", "t3"],
        ["t2", "t1"],
        ["t0"],
    ]
    assert last["next"] is None
    assert caller.ok(TOKENS + "?limit=5")["next"] is None


def test_an_admin_sees_anybodys(ada, grace, root):
    tokens.create(ada, "adas")
    tokens.create(grace, "graces")
    tokens.create(root, "own")
    caller = signed_in(root)
    assert names(caller) == ["own"]
    assert names(caller, "?user=ada") == ["adas"]
    assert names(caller, "?user=*") == ["own", "graces", "adas"]
    refused(caller.get(TOKENS + "?user=nobody"), 404, "user")
    number = Token.objects.get(name="adas").pk
    assert caller.ok(f"{TOKENS}{number}/")["user"] == "ada"


@pytest.mark.parametrize("role", ["", "viewer", "researcher", "moderator"])
def test_others_tokens_are_not_there(grace, required, role):
    theirs = tokens.create(grace, "hers")[0].pk
    caller = signed_in(person("ada", role))
    answers = [
        [
            refused(caller.get(f"{TOKENS}{number}/"), 404, "id"),
            refused(caller.delete(f"{TOKENS}{number}/"), 404, "id"),
            refused(caller.post(f"{TOKENS}{number}/rotate/", {}), 404, "id"),
        ]
        for number in (theirs, 10**12)
    ]
    hers, missing = ([{**error, "request_id": ""} for error in some] for some in answers)
    assert [{**e, "message": e["message"].replace(str(theirs), "N")} for e in hers] == [
        {**e, "message": e["message"].replace(str(10**12), "N")} for e in missing
    ]
    for user in ("grace", "nobody", "*"):
        refused(caller.get(f"{TOKENS}?user={user}"), 404, "user")
    assert tokens.verify_id(theirs) is not None


@pytest.mark.one_database
@pytest.mark.parametrize("number", ["0", "-1", "1.0", "x", "9" * 19, "9" * 40, "%00", "٣", "1'"])
def test_what_is_no_number_of_a_token_is_not_there(ada, number):
    refused(signed_in(ada).get(f"{TOKENS}{number}/"), 404, "id")


def test_a_token_for_some_streams_sees_those_for_no_others(ada, root):
    for owner in (ada, root):
        for name, streams in (("all", None), ("s", ["s"]), ("t", ["t"]), ("st", ["s", "t"])):
            tokens.create(owner, f"{owner.username}-{name}", streams=streams)
    for owner in (ada, root):
        caller = with_token(owner, streams=["s"])
        assert names(caller) == ["test", f"{owner.username}-s"]
        assert names(caller, "?limit=1") == ["test"]
        refused(caller.get(TOKENS + "?user=*"), 404)
        hidden = Token.objects.get(name=f"{owner.username}-st").pk
        refused(caller.get(f"{TOKENS}{hidden}/"), 404)
        refused(caller.delete(f"{TOKENS}{hidden}/"), 404)
        refused(caller.post(f"{TOKENS}{hidden}/rotate/", {}), 404)
        seen = Token.objects.get(name=f"{owner.username}-s").pk
        assert caller.delete(f"{TOKENS}{seen}/").status_code == 204


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query, field",
    [("limit=0", "limit"), ("limit=1001", "limit"), ("before=x", "before"), ("user=", "user"), ("page=2", "page")],
)
def test_a_question_that_makes_no_sense_is_refused(ada, query, field):
    refused(signed_in(ada).get(f"{TOKENS}?{query}"), 404 if field == "user" else 400, field)


# Revoking


def test_a_revoked_token_and_its_access_tokens_stop_at_once(ada):
    caller, secret = signed_in(ada), secret_of(ada)
    program = anonymous(**bearer(secret))
    basic = base64.b64encode(f"ada:{secret}".encode()).decode()
    handshake = anonymous().get("/api/auth/token/", Authorization=f"Basic {basic}")
    by_handshake = anonymous(**bearer(handshake.json()["token"]))
    assert program.get(ME).status_code == by_handshake.get(ME).status_code == 200
    number = own(secret).pk
    response = caller.delete(f"{TOKENS}{number}/")
    assert (response.status_code, response.content) == (204, b"")
    refused(program.get(ME), 401)
    refused(by_handshake.get(ME), 401)
    assert caller.ok(f"{TOKENS}{number}/")["works"] is False
    assert caller.delete(f"{TOKENS}{number}/").status_code == 204
    assert [entry.username for entry in audited("token.revoke")] == ["ada"]


def test_an_admin_revokes_anybodys_and_gets_nobodys_secret(ada, root):
    token, secret = tokens.create(ada, "jobs")
    caller = signed_in(root)
    error = refused(caller.post(f"{TOKENS}{token.pk}/rotate/", {}), 403, code="not_yours")
    assert "revoke" in error["message"]
    assert tokens.verify(secret) is not None
    assert caller.delete(f"{TOKENS}{token.pk}/").status_code == 204
    assert tokens.verify(secret) is None


def test_a_token_revokes_itself(ada):
    caller = with_token(ada)
    assert caller.delete(f"{TOKENS}{Token.objects.get().pk}/").status_code == 204
    refused(caller.get(ME), 401)


# Rotating


def test_a_rotated_token_goes_on_for_a_day_beside_its_successor(ada):
    token, secret = tokens.create(ada, "jobs", scopes=["learn"], streams=["s"])
    response = signed_in(ada).post(f"{TOKENS}{token.pk}/rotate/", {})
    assert (response.status_code, response.headers["Cache-Control"]) == (201, "no-store")
    shown = response.json()
    assert (shown["name"], shown["scopes"], shown["streams"], shown["replaces"]) == ("jobs", ["learn"], ["s"], token.pk)
    assert tokens.verify(secret) is not None
    assert tokens.verify(shown["token"]) is not None
    token.refresh_from_db()
    assert timedelta(hours=23) < token.expires_at - datetime.now(UTC) <= timedelta(hours=24)


def test_without_overlap_the_old_one_stops_at_once(ada):
    token, secret = tokens.create(ada, "jobs")
    program = anonymous(**bearer(secret))
    assert program.get(ME).status_code == 200
    signed_in(ada).ok(f"{TOKENS}{token.pk}/rotate/", {"overlap_hours": 0}, 201)
    refused(program.get(ME), 401)


@pytest.mark.one_database
@pytest.mark.parametrize("hours", [-1, 721, "24", None, True, [1]])
def test_what_is_no_overlap_is_refused(ada, hours):
    token, _ = tokens.create(ada, "jobs")
    refused(signed_in(ada).post(f"{TOKENS}{token.pk}/rotate/", {"overlap_hours": hours}), 400, "overlap_hours")
    assert Token.objects.count() == 1


def test_a_token_is_rotated_once_and_not_after_its_end(ada):
    caller = signed_in(ada)
    token, revoked = tokens.create(ada, "jobs")[0], tokens.create(ada, "revoked")[0]
    caller.ok(f"{TOKENS}{token.pk}/rotate/", {}, 201)
    refused(caller.post(f"{TOKENS}{token.pk}/rotate/", {}), 409, code="rotated")
    tokens.revoke(revoked)
    refused(caller.post(f"{TOKENS}{revoked.pk}/rotate/", {}), 409, code="ended")


def test_a_token_rotates_itself_with_a_life_as_long_as_its_own(ada):
    secret = secret_of(ada, ["manage", "learn"], ["s"])
    Token.objects.update(
        created_at=datetime.now(UTC) - timedelta(days=9), expires_at=datetime.now(UTC) + timedelta(days=1)
    )
    shown = anonymous(**bearer(secret)).ok(f"{TOKENS}{own(secret).pk}/rotate/", {}, 201)
    assert (shown["scopes"], shown["streams"]) == (["learn", "manage"], ["s"])
    assert datetime.fromisoformat(shown["expires_at"]) > datetime.now(UTC) + timedelta(days=9)


@pytest.mark.parametrize(
    "scopes, streams, days",
    [(["read"], ["s"], 1), (["learn"], None, 1), (["learn"], ["u"], 1), (["learn"], ["s"], None)],
)
def test_a_token_rotates_no_other_that_has_more_than_itself(ada, scopes, streams, days):
    secret = secret_of(ada, ["manage", "learn"], None if streams is None else ["s"])
    Token.objects.update(expires_at=datetime.now(UTC) + timedelta(days=10))
    if streams is None:
        scopes = ["predict"]
    other, other_secret = tokens.create(
        ada, "other", None if days is None else datetime.now(UTC) + timedelta(days=days), scopes=scopes, streams=streams
    )
    status = 404 if streams == ["u"] else 403
    refused(anonymous(**bearer(secret)).post(f"{TOKENS}{other.pk}/rotate/", {"overlap_hours": 0}), status)
    assert Token.objects.count() == 2
    assert tokens.verify(other_secret) is not None


def test_a_token_rotates_another_that_has_no_more_than_itself(ada):
    other, _ = tokens.create(ada, "other", datetime.now(UTC) + timedelta(days=1), scopes=["learn"], streams=["s"])
    with_token(ada, ["manage", "learn"], ["s", "t"]).ok(f"{TOKENS}{other.pk}/rotate/", {}, 201)


# Whose it is


def test_a_blocked_users_tokens_stop_and_work_again_once_they_are_let_in(ada):
    program = with_token(ada)
    users.block(ada)
    refused(program.get(ME), 401)
    refused(program.get("/api/v1/models/"), 401)
    users.unblock(ada)
    assert program.ok(ME)["user"] == "ada"


def test_nobody_makes_or_sees_tokens_unknown(required):
    for response in (
        anonymous().get(TOKENS),
        anonymous().post(TOKENS, {"name": "jobs"}),
        anonymous().get(TOKENS + "1/"),
        anonymous().delete(TOKENS + "1/"),
        anonymous().post(TOKENS + "1/rotate/", {}),
    ):
        refused(response, 401)
