"""The settings that are in force, over the native API, with every secret hidden."""

from pathlib import Path
from typing import Any

import pytest

from server import config
from server.accounts import effective_settings
from tests.accounts.calls import anonymous, signed_in, with_token
from tests.api_client import refused
from tests.people import person

pytestmark = pytest.mark.django_db

SETTINGS = "/api/v1/settings/"
PLANTED = "planted-1815-planted-1815-planted-1815"


def in_force(settings: Any, **changes: Any) -> dict[str, Any]:
    """Each setting's value as it is shown, with some changed."""
    settings.TAILRACE = settings.TAILRACE.model_copy(update={**changes, "auth": "open"})
    return {one["name"]: one["value"] for one in anonymous().ok(SETTINGS)["settings"]}


def test_every_setting_is_shown_with_its_default_and_what_it_is(settings):
    listed = {one["name"]: one for one in anonymous().ok(SETTINGS)["settings"]}
    assert set(listed) == {f"TAILRACE_{name.upper()}" for name in config.Config.model_fields}
    assert listed["TAILRACE_MAX_POINTS"] == {
        "name": "TAILRACE_MAX_POINTS",
        "value": settings.TAILRACE.max_points,
        "default": 10_000,
        "description": "Most points in one request",
    }
    assert in_force(settings, max_points=7)["TAILRACE_MAX_POINTS"] == 7
    assert listed["TAILRACE_VAR_DIR"]["value"] == str(settings.TAILRACE.var_dir)


def test_a_secret_is_hidden_wherever_it_stands(settings):
    secret = {
        name: PLANTED
        for name, field in config.Config.model_fields.items()
        if not field.repr or (any(word in name for word in ("secret", "password")) and not name.endswith("_file"))
    }
    assert "secret_key" in secret
    settings.SECRET_KEY = PLANTED
    shown = in_force(settings, **secret, database_url=f"postgresql://tailrace:{PLANTED}@db:5432/tailrace")
    assert PLANTED not in anonymous().get(SETTINGS).content.decode()
    assert shown["TAILRACE_SECRET_KEY"] == "(hidden)"
    assert shown["TAILRACE_DATABASE_URL"] == "postgresql://tailrace:(hidden)@db:5432/tailrace"


def test_a_file_that_holds_a_secret_is_named_and_not_read(settings, tmp_path):
    file = tmp_path / "key"
    file.write_text(PLANTED)
    shown = in_force(settings, secret_key_file=file)
    assert shown["TAILRACE_SECRET_KEY_FILE"] == str(file)
    assert PLANTED not in anonymous().get(SETTINGS).content.decode()


def test_a_secret_that_is_not_set_is_seen_not_to_be(settings):
    shown = in_force(settings, secret_key="", secret_key_file=None, database_url="")
    assert (shown["TAILRACE_SECRET_KEY"], shown["TAILRACE_SECRET_KEY_FILE"]) == ("", None)
    assert shown["TAILRACE_DATABASE_URL"] == ""


@pytest.mark.one_database
@pytest.mark.parametrize(
    "url, shown",
    [
        ("sqlite:////var/lib/t.sqlite3", "sqlite:////var/lib/t.sqlite3"),
        ("postgresql://db/tailrace", "postgresql://db/tailrace"),
        ("postgresql://me@db/tailrace", "postgresql://me@db/tailrace"),
        ("postgresql://me:pw@db/tailrace", "postgresql://me:(hidden)@db/tailrace"),
        ("postgresql://:pw@db/tailrace", "postgresql://:(hidden)@db/tailrace"),
        ("postgresql://me:p@w@db/tailrace", "postgresql://me:(hidden)@db/tailrace"),
        ("postgresql://me:pw@[::1]:5432/t", "postgresql://me:(hidden)@[::1]:5432/t"),
        ("postgresql://me:1/pw@db/tailrace", "(hidden)"),
        ("postgresql://me:1#pw@db/tailrace", "(hidden)"),
        ("postgresql://db/t?user=me&password=pw", "postgresql://db/t?user=me&password=(hidden)"),
        ("postgresql://db/t?sslpassword=pw&sslmode=require", "postgresql://db/t?sslpassword=(hidden)&sslmode=require"),
        ("postgresql:///t?host=/run/pg", "postgresql:///t?host=/run/pg"),
        ("postgresql://[::1/pw", "(hidden)"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert effective_settings.without_password(url) == shown


def test_a_value_whose_name_sounds_like_a_secret_is_hidden_even_if_nobody_said_so():
    class Careless(config.Config):
        smtp_password: str = ""
        password_file: Path | None = None
        token_rate_limit: int = 5

    field = Careless.model_fields
    assert effective_settings._value("smtp_password", field["smtp_password"], PLANTED) == "(hidden)"
    assert effective_settings._value("password_file", field["password_file"], Path("/run/pw")) == "/run/pw"
    assert effective_settings._value("token_rate_limit", field["token_rate_limit"], 5) == 5


@pytest.mark.parametrize(
    "role, status", [("", 403), ("viewer", 403), ("researcher", 403), ("moderator", 403), ("admin", 200)]
)
def test_admins_alone_see_them(required, role, status):
    assert signed_in(person("ada", role)).get(SETTINGS).status_code == status
    refused(anonymous().get(SETTINGS), 401)


@pytest.mark.parametrize("scopes, status", [(["read"], 200), (["learn"], 403), (["predict"], 403), (["manage"], 403)])
def test_an_admins_token_sees_them_with_the_scope_read(required, scopes, status):
    assert with_token(person("root", "admin"), scopes).get(SETTINGS).status_code == status
