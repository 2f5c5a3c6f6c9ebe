"""Tokens and the two commands that make and stop them."""

import dataclasses
import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError

from server.accounts import roles, tokens
from server.accounts.caller import Caller
from server.accounts.models import Token
from server.core.errors import Invalid
from server.streams import registry
from tests.people import person

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def test_it_tells_whose_secret_it_is_and_what_they_may_do(ada):
    token, secret = tokens.create(ada, "laptop", scopes=tuple(roles.SCOPES))
    may = frozenset(roles.permissions_of_role("researcher"))
    assert tokens.verify(secret) == Caller(ada.pk, "ada", token.pk, may, generation=registry.generation())


def test_an_identity_cannot_be_changed(ada):
    _, secret = tokens.create(ada, "laptop")
    with pytest.raises(dataclasses.FrozenInstanceError):
        tokens.verify(secret).user_id = 1


def test_a_secret_is_recognisable_and_holds_256_random_bits(ada):
    secrets = {tokens.create(ada, "laptop")[1] for _ in range(20)}
    assert len(secrets) == 20
    assert all(re.fullmatch(r"trc_[0-9a-f]{64}", secret) for secret in secrets)


def test_only_the_hash_of_a_secret_is_stored(ada):
    token, secret = tokens.create(ada, "laptop")
    stored = Token.objects.filter(pk=token.pk).values_list().get()
    assert hashlib.sha256(secret.encode()).hexdigest() in stored
    assert not any(secret.removeprefix("trc_") in str(value) for value in stored)


def test_it_verifies_with_two_reads_and_writes_nothing(ada, django_assert_num_queries):
    token, secret = tokens.create(ada, "laptop")
    with django_assert_num_queries(2):
        assert tokens.verify(secret) is not None
    token.refresh_from_db()
    assert token.last_used_at is None


@pytest.mark.one_database
@pytest.mark.parametrize(
    "change",
    [
        lambda secret: "",
        lambda secret: "trc_",
        lambda secret: secret[:-1],
        lambda secret: secret + "0",
        lambda secret: secret + "\n",
        lambda secret: secret.upper(),
        lambda secret: secret.removeprefix("trc_"),
        lambda secret: secret.replace("trc_", "trd_"),
        lambda secret: "trc_" + "é" * 64,
        lambda secret: "trc_" + "\x00" * 64,
        lambda secret: "trc_' OR 1=1 --",
        lambda secret: hashlib.sha256(secret.encode()).hexdigest(),
    ],
)
def test_it_refuses_what_is_not_a_secret_without_asking_the_database(ada, change, django_assert_num_queries):
    _, secret = tokens.create(ada, "laptop")
    with django_assert_num_queries(0):
        assert tokens.verify(change(secret)) is None


def test_it_refuses_an_unknown_secret(ada):
    _, secret = tokens.create(ada, "laptop")
    assert tokens.verify("trc_" + "0" * 64) is None
    assert tokens.verify("trc_" + hashlib.sha256(secret.encode()).hexdigest()) is None


def test_a_token_works_until_it_expires(ada):
    token, secret = tokens.create(ada, "laptop", datetime.now(UTC) + HOUR)
    assert tokens.verify(secret) is not None
    Token.objects.filter(pk=token.pk).update(expires_at=datetime.now(UTC))
    assert tokens.verify(secret) is None
    assert tokens.verify_id(token.pk) is None


def test_a_revoked_token_stops_working_and_others_go_on(ada):
    token, secret = tokens.create(ada, "laptop")
    _, other = tokens.create(ada, "laptop")
    assert tokens.revoke(token) is True
    assert tokens.verify(secret) is None
    assert tokens.verify_id(token.pk) is None
    assert tokens.verify(other) is not None


def test_a_repeated_revocation_changes_nothing(ada):
    token, _ = tokens.create(ada, "laptop")
    tokens.revoke(token)
    first = token.revoked_at
    assert tokens.revoke(token) is False
    assert token.revoked_at == first


def test_a_blocked_users_token_stops_working(ada):
    token, secret = tokens.create(ada, "laptop")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert tokens.verify(secret) is None
    assert tokens.verify_id(token.pk) is None


def test_a_deleted_users_token_stops_working_and_its_number_is_not_given_again(ada):
    token, secret = tokens.create(ada, "laptop")
    number = token.pk
    ada.delete()
    assert tokens.verify(secret) is None
    assert tokens.verify_id(number) is None
    again, _ = tokens.create(User.objects.create_user("ada"), "laptop")
    assert again.pk > number


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00b", None, 3])
def test_it_refuses_a_name_that_says_nothing_or_cannot_be_stored(ada, name):
    with pytest.raises(Invalid, match="name"):
        tokens.create(ada, name)
    assert not Token.objects.exists()


@pytest.mark.parametrize("expires", [datetime.now(UTC) - HOUR, datetime.now() + HOUR])
def test_it_refuses_an_expiry_in_the_past_or_without_a_time_zone(ada, expires):
    with pytest.raises(Invalid, match="expires"):
        tokens.create(ada, "laptop", expires)


def test_it_makes_no_token_for_a_blocked_user(ada):
    ada.is_active = False
    with pytest.raises(Invalid, match="ada is blocked"):
        tokens.create(ada, "laptop")


# The commands


def test_the_command_prints_a_token_that_works_alone_on_standard_output(ada, capsys):
    call_command("create_token", "ada", "--name", "cluster jobs", "--days", "30")
    out, err = capsys.readouterr()
    secret = out.removesuffix("\n")
    caller = tokens.verify(secret)
    assert caller is not None
    token = Token.objects.get()
    assert (token.name, token.owner) == ("cluster jobs", ada)
    assert timedelta(days=29) < token.expires_at - datetime.now(UTC) <= timedelta(days=30)
    for word in ("RIVER_ML_USER=ada", "RIVER_ML_TOKEN", "Authorization: Bearer", f"revoke_token {token.pk}"):
        assert word in err
    assert secret not in err


def test_the_tokens_that_work_are_listed_without_their_secrets(ada, capsys):
    grace = person("grace", "viewer")
    call_command("list_tokens")
    assert capsys.readouterr().out == "No tokens.\n"
    kept, secret = tokens.create(ada, "cluster jobs", scopes=["learn"], streams=["s"])
    gone, _ = tokens.create(ada, "laptop")
    tokens.revoke(gone)
    tokens.create(grace, "old", datetime.now(UTC) + HOUR)
    Token.objects.filter(name="old").update(expires_at=datetime.now(UTC) - HOUR)
    call_command("list_tokens")
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["ID", "USER", "NAME"]
    for word in (str(kept.pk), "ada", "cluster jobs", secret[-4:], "learn", "no end", "never"):
        assert word in line
    assert secret not in line
    call_command("list_tokens", "--all")
    out = capsys.readouterr().out
    assert "revoked" in out
    assert "expired" in out
    call_command("list_tokens", "grace", "--all")
    assert "ada" not in capsys.readouterr().out
    with pytest.raises(CommandError, match="no user named 'adda'"):
        call_command("list_tokens", "adda")


def test_the_command_makes_a_user_only_when_asked(capsys):
    with pytest.raises(CommandError, match="no user named 'grace': add --create-user"):
        call_command("create_token", "grace")
    assert not User.objects.exists()
    call_command("create_token", "grace", "--create-user")
    made = tokens.verify(capsys.readouterr().out.strip())
    assert (made.username, made.permissions) == (
        "grace",
        frozenset(roles.permissions_of_role("researcher")) - {"create_by_posting"},
    )
    assert not User.objects.get().has_usable_password()
    call_command("create_token", "grace", "--create-user")
    assert User.objects.count() == 1


def test_the_command_makes_a_token_for_a_job_that_can_only_learn_into_its_stream(ada, capsys):
    call_command("create_token", "ada", "--scopes", "learn", "--streams", "lammps-runtime, bonds")
    out, err = capsys.readouterr()
    made = tokens.verify(out.strip())
    assert (made.permissions, made.streams) == ({"learn"}, {"lammps-runtime", "bonds"})
    assert "for learn on bonds, lammps-runtime." in err


def test_the_command_gives_a_role_to_the_user_that_it_makes_alone(capsys):
    call_command("create_token", "eve", "--create-user", "--role", "viewer")
    assert roles.role_of(User.objects.get()) == "viewer"
    call_command("create_token", "eve", "--create-user", "--role", "admin")
    assert roles.role_of(User.objects.get()) == "viewer"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["ada", "--scopes", "learn,fly"], "scopes is .*'fly'.*: expected a list of at least one of learn, predict"),
        (["ada", "--scopes", ""], "scopes is .* expected"),
        (["ada", "--streams", "a b"], "'a b' is not a valid name of a stream"),
        (["ada", "--streams", ""], "'' is not a valid name of a stream"),
        (["ada", "--days", "0"], "--days is 0: expected 1 to 3650"),
        (["ada", "--days", "99999999999"], "--days is 99999999999"),
        (["ada", "--name", ""], "name is '': expected"),
        (["a b:c", "--create-user"], "'a b:c' is not a valid name of a user"),
        (["x" * 151, "--create-user"], "is not a valid name of a user"),
        (["", "--create-user"], "is not a valid name of a user"),
        (["new", "--create-user", "--name", ""], "name is '': expected"),
        (["blocked"], "user blocked is blocked"),
    ],
)
def test_the_command_says_what_is_wrong_and_changes_nothing(ada, arguments, message):
    User.objects.create_user("blocked", is_active=False)
    with pytest.raises(CommandError, match=message):
        call_command("create_token", *arguments)
    assert not Token.objects.exists()
    assert User.objects.count() == 2


def test_the_command_says_how_to_make_the_tables(monkeypatch):
    def missing(*args, **kwargs):
        raise OperationalError("no such table: auth_user")

    monkeypatch.setattr(User.objects, "all", missing)
    with pytest.raises(CommandError, match=r"no such table: auth_user; .*manage.py migrate"):
        call_command("create_token", "ada")


def test_a_token_is_revoked_by_its_number(ada, capsys):
    token, secret = tokens.create(ada, "laptop")
    call_command("revoke_token", str(token.pk))
    assert tokens.verify(secret) is None
    assert f"Token {token.pk} (laptop of ada) is revoked." in capsys.readouterr().out
    call_command("revoke_token", str(token.pk))
    assert "was already revoked at 20" in capsys.readouterr().out


def test_revoking_an_unknown_number_lists_those_that_there_are(ada):
    token, _ = tokens.create(ada, "laptop")
    with pytest.raises(CommandError, match=rf"there is no token 987654; .* {token.pk} \(laptop of ada\)"):
        call_command("revoke_token", "987654")
    tokens.revoke(token)
    with pytest.raises(CommandError, match="there are no tokens to revoke"):
        call_command("revoke_token", "987654")
