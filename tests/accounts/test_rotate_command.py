"""``manage.py rotate_token``: a new secret in the place of a token's."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from server.accounts import tokens
from server.accounts.models import Token
from tests.accounts.calls import audited
from tests.people import person

pytestmark = pytest.mark.django_db


def test_it_prints_the_new_secret_alone_and_the_old_one_goes_on_for_a_day(capsys):
    token, secret = tokens.create(person("ada"), "jobs", scopes=["learn"], streams=["s"])
    call_command("rotate_token", str(token.pk))
    out, err = capsys.readouterr()
    made = Token.objects.get(replaces=token)
    assert tokens.verify(out.removesuffix("\n")).token_id == made.pk
    assert (made.name, made.scopes, made.streams) == ("jobs", ["learn"], ["s"])
    assert f"Token {made.pk} (jobs of ada) replaces token {token.pk}, which expires at 20" in err
    assert out.strip() not in err
    assert tokens.verify(secret) is not None
    token.refresh_from_db()
    assert timedelta(hours=23) < token.expires_at - datetime.now(UTC) <= timedelta(hours=24)
    (entry,) = audited("token.rotate")
    assert (entry.username, entry.target) == ("(command line)", str(made.pk))


def test_without_overlap_the_old_one_stops_at_once(capsys):
    token, secret = tokens.create(person("ada"), "jobs")
    call_command("rotate_token", str(token.pk), "--overlap-hours", "0")
    assert tokens.verify(secret) is None
    assert tokens.verify(capsys.readouterr().out.strip()) is not None


@pytest.mark.one_database
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["987654"], "there is no token 987654; run `manage.py create_token USER`"),
        (["x"], "invalid int value: 'x'"),
        (["{id}", "--overlap-hours", "-1"], "--overlap-hours is -1: expected 0 to 720"),
        (["{id}", "--overlap-hours", "721"], "--overlap-hours is 721: expected 0 to 720"),
        (["{id}", "--overlap-hours", "nan"], "--overlap-hours is nan: expected 0 to 720"),
        (["{id}", "--overlap-hours", "x"], "invalid float value: 'x'"),
    ],
)
def test_it_says_what_is_wrong_and_changes_nothing(arguments, message):
    token, secret = tokens.create(person("ada"), "jobs")
    with pytest.raises(CommandError, match=message):
        call_command("rotate_token", *[argument.format(id=token.pk) for argument in arguments])
    assert Token.objects.count() == 1
    assert tokens.verify(secret) is not None


def test_a_token_is_rotated_once_and_not_after_its_end(capsys):
    ada = person("ada")
    token, revoked = tokens.create(ada, "jobs")[0], tokens.create(ada, "old")[0]
    call_command("rotate_token", str(token.pk))
    tokens.revoke(revoked)
    with pytest.raises(CommandError, match=f"token {token.pk} was already rotated"):
        call_command("rotate_token", str(token.pk))
    with pytest.raises(CommandError, match=f"token {revoked.pk} is revoked or expired"):
        call_command("rotate_token", str(revoked.pk))


def test_it_says_how_to_make_the_tables(monkeypatch):
    def missing(*args, **kwargs):
        raise OperationalError("no such table: accounts_token")

    monkeypatch.setattr(Token.objects, "filter", missing)
    with pytest.raises(CommandError, match=r"no such table: accounts_token; .*manage.py migrate"):
        call_command("rotate_token", "1")
