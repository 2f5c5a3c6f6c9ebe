"""The guard in front of the API, and the handshake as riverapi does it."""

import base64
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from riverapi.auth import parse_auth_header

from server.accounts import jwt, last_used, roles, tokens
from server.accounts.access import PUBLIC, SIGNED_IN, allow
from server.accounts.models import Token
from server.api import caller
from server.api.codec import answer
from server.api.riverapi.auth import token as handshake
from server.streams import registry
from tests.people import person

REALM, SERVICE = "http://testserver/api/auth/token/", "http://testserver"


def a_view(*, hot: bool = False) -> Callable[..., HttpResponse]:
    """A view that answers whom the guard let in."""

    def who(request: HttpRequest) -> HttpResponse:
        if hot and request.method == "POST":
            caller.confirm(request, registry.generation())
        known = request.caller
        return answer({"who": None if known is None else known.username})

    who.csrf_exempt = True
    return who


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug in a view")


urlpatterns = [
    path("api/", allow(a_view(), get=PUBLIC)),
    path("api/v1/", allow(a_view(), get="read")),
    path("api/models/", allow(a_view(), get="read", post="create")),
    path("api/v1/models/", allow(a_view(), get="read")),
    path("api/v1/me/", allow(a_view(), get=SIGNED_IN)),
    path("api/learn/", allow(a_view(hot=True), hot=True, post="learn", get="read")),
    path("api/audit/", allow(a_view(), get="read_audit")),
    path("api/forgotten/", a_view()),
    path("api/closed/", allow(a_view())),
    path("api/auth/token/", allow(handshake, get=PUBLIC)),
    path("api/fails/", allow(fails, get="read")),
    path("api/v1/schema/", allow(a_view(), get=PUBLIC)),
    path("api/v1/docs/", allow(a_view(), get=PUBLIC)),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("required")]


@pytest.fixture
def made(ada: User) -> tuple[Token, str]:
    return tokens.create(ada, "laptop")


@pytest.fixture
def secret(made: tuple[Token, str]) -> str:
    return made[1]


@pytest.fixture
def access(secret: str) -> str:
    return jwt.issue(tokens.verify(secret))["token"]


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def get(client: Client, path: str, credential: str | None = None, **extra: Any) -> HttpResponse:
    return client.get(path, headers={} if credential is None else {"Authorization": credential}, **extra)


def post(client: Client, path: str, credential: str) -> HttpResponse:
    return client.post(path, headers={"Authorization": f"Bearer {credential}"})


def assert_refused(response: HttpResponse, code: str = "unauthenticated") -> None:
    assert response.status_code == 401
    assert response["Www-Authenticate"] == f'realm="{REALM}",service="{SERVICE}"'
    error = response.json()["error"]
    assert error["code"] == code
    assert error["request_id"] == response["X-Request-Id"]
    assert set(error) == {"code", "message", "request_id"}


# Who is let in


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/api/models/", "/api/v1/models/", "/api/v1/", "/api/v1/me/", "/api/learn/"])
@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete", "options", "trace"])
def test_it_lets_nobody_in_unknown(client, path, method, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = getattr(client, method)(path)
    assert response.status_code == 401
    assert "Www-Authenticate" in response


def test_a_refusal_has_the_one_error_shape_on_both_apis(client):
    native, riverapi = get(client, "/api/v1/models/"), get(client, "/api/models/")
    assert_refused(native)
    assert_refused(riverapi)
    assert set(native.json()) == {"error"}
    assert riverapi.json()["message"] == riverapi.json()["error"]["message"]
    assert "RIVER_ML_TOKEN" in riverapi.json()["message"]


def test_it_lets_a_token_in_with_two_reads_the_caller_and_the_permissions(client, secret, django_assert_num_queries):
    with django_assert_num_queries(2):
        response = get(client, "/api/v1/models/", f"Bearer {secret}")
    assert response.json() == {"who": "ada"}


def test_it_lets_an_access_token_in_with_two_reads(client, access, django_assert_num_queries):
    with django_assert_num_queries(2):
        response = get(client, "/api/models/", f"Bearer {access}")
    assert response.json() == {"who": "ada"}


@pytest.mark.parametrize("form", ["bearer {}", "BEARER {}", "Bearer   {}", "  Bearer {}  "])
def test_the_scheme_is_read_as_http_says(client, secret, form):
    assert get(client, "/api/models/", form.format(secret)).status_code == 200


@pytest.mark.parametrize("path", ["/api/", "/api/v1/schema/", "/api/v1/docs/"])
def test_anyone_may_ask_what_this_is_and_how_to_call_it(client, path, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert get(client, path).json() == {"who": None}
        assert get(client, path, "Bearer nonsense").json() == {"who": None}


@pytest.mark.parametrize("path", ["/api/", "/api/v1/schema/", "/api/v1/docs/"])
def test_what_is_public_is_public_to_read_alone(client, path):
    assert_refused(client.post(path))


@pytest.mark.parametrize("path", ["/api/%6dodels/", "/%61pi/models/", "/api/models/?x=/api/", "/api/v1/%6d%65/"])
def test_no_spelling_of_an_address_goes_round_it(client, path):
    assert_refused(get(client, path))


@pytest.mark.parametrize(
    "path", ["/api/nothing/", "/api//", "/api/../api/models/", "/api/v1/docs/more/", "/API/models/"]
)
def test_what_is_not_there_is_not_there_whoever_asks(client, secret, path):
    for credential in (None, f"Bearer {secret}", "Bearer nonsense"):
        assert get(client, path, credential).status_code == 404


def test_with_auth_open_everyone_is_let_in_and_nothing_is_looked_at(client, settings, django_assert_num_queries):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "open"})
    with django_assert_num_queries(0):
        assert get(client, "/api/models/").json() == {"who": None}
        assert get(client, "/api/models/", "Bearer nonsense").json() == {"who": None}


# What they may do


def test_a_credential_that_holds_but_is_not_for_this_is_told_what_it_would_need(client, secret):
    response = get(client, "/api/audit/", f"Bearer {secret}")
    assert response.status_code == 403
    assert "Www-Authenticate" not in response
    message = response.json()["error"]["message"]
    assert "ada may not do this: it needs the permission 'read_audit'" in message
    assert secret not in message


def test_whoever_has_no_role_may_nothing_but_hear_who_they_are(client):
    _, secret = tokens.create(person("nobody", ""), "laptop")
    assert get(client, "/api/v1/me/", f"Bearer {secret}").json() == {"who": "nobody"}
    assert get(client, "/api/models/", f"Bearer {secret}").status_code == 403


@pytest.mark.parametrize("path", ["/api/forgotten/", "/api/closed/"])
def test_an_address_that_says_nothing_of_who_may_use_it_is_closed_to_all(client, path, settings):
    person("root", is_superuser=True)
    _, secret = tokens.create(User.objects.get(username="root"), "laptop")
    assert get(client, path, f"Bearer {secret}").status_code == 403
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "open"})
    assert get(Client(), path).status_code == 403


def test_a_view_cannot_be_declared_twice_with_different_rules():
    view = allow(a_view(), get="read")
    assert allow(view, get="read") is view
    for again in ({"get": "create"}, {"get": "read", "post": "create"}, {"get": "read", "hot": True}, {}):
        with pytest.raises(ValueError, match="declared twice"):
            allow(view, **again)


# The hot path


def test_a_known_caller_costs_a_hot_address_no_read_of_the_guards_own(
    client, secret, access, django_assert_num_queries
):
    for credential in (secret, access):
        assert post(client, "/api/learn/", credential).json() == {"who": "ada"}
        with django_assert_num_queries(0):  # the view's own read goes by the driver, and isn't counted
            assert post(client, "/api/learn/", credential).json() == {"who": "ada"}


def test_other_methods_of_a_hot_address_are_looked_up_every_time(client, secret, django_assert_num_queries):
    post(client, "/api/learn/", secret)
    with django_assert_num_queries(2):
        assert get(client, "/api/learn/", f"Bearer {secret}").status_code == 200


def test_what_is_remembered_of_a_caller_never_does_more_than_the_address_needs(client, ada):
    _, learns = tokens.create(ada, "job", scopes=["learn"])
    assert post(client, "/api/learn/", learns).status_code == 200
    assert post(client, "/api/models/", learns).status_code == 403
    _, reads = tokens.create(ada, "reader", scopes=["read"])
    assert get(client, "/api/models/", f"Bearer {reads}").status_code == 200
    assert post(client, "/api/learn/", reads).status_code == 403


# Who isn't


@pytest.mark.one_database
@pytest.mark.parametrize(
    "credential",
    [
        "Bearer",
        "Bearer ",
        "Bearer trc_",
        "Bearer trc_" + "0" * 64,
        "Bearer a.b.c",
        "Bearer \xff\xfe",
        "Bearer trc_" + "0" * 64 + ", Bearer trc_" + "0" * 64,
    ],
)
def test_it_refuses_a_credential_that_is_none(client, credential):
    assert_refused(get(client, "/api/models/", credential), "invalid_credential")


def test_it_refuses_credentials_of_another_kind_and_says_which_it_wants(client, secret):
    for credential in (basic("ada", secret), secret, f"Token {secret}", "Digest x=y"):
        response = get(client, "/api/models/", credential)
        assert_refused(response)
        assert "Authorization: Bearer TOKEN" in response.json()["message"]


ENDS = pytest.mark.parametrize(
    "end",
    [
        lambda token: Token.objects.filter(pk=token.pk).update(revoked_at=datetime.now(UTC)),
        lambda token: Token.objects.filter(pk=token.pk).update(expires_at=datetime.now(UTC)),
        lambda token: User.objects.filter(pk=token.owner_id).update(is_active=False),
        lambda token: token.owner.delete(),
        lambda token: token.delete(),
    ],
    ids=["revoked", "expired", "user blocked", "user deleted", "token deleted"],
)


@ENDS
def test_whatever_ends_a_token_counts_from_the_next_request_on(client, made, access, end):
    token, secret = made
    for credential in (secret, access):
        assert get(client, "/api/models/", f"Bearer {credential}").status_code == 200
        assert post(client, "/api/learn/", credential).status_code == 200
    end(token)
    for credential in (secret, access):
        assert_refused(get(client, "/api/models/", f"Bearer {credential}"), "invalid_credential")
        assert_refused(post(client, "/api/learn/", credential), "invalid_credential")
    assert_refused(get(client, "/api/auth/token/", basic("ada", secret)), "invalid_credential")


@pytest.mark.parametrize(
    "lessen",
    [
        lambda token: roles.assign(token.owner, "viewer"),
        lambda token: roles.assign(token.owner, ""),
        lambda token: token.owner.groups.clear(),
        lambda token: Group.objects.all().delete(),
        lambda token: Group.objects.get(name="researcher").permissions.clear(),
        lambda token: Token.objects.filter(pk=token.pk).update(scopes=["read"]),
    ],
    ids=["a lower role", "no role", "no groups", "groups deleted", "group's permissions taken", "scopes taken"],
)
def test_whatever_lessens_what_a_caller_may_do_counts_from_the_next_request_on(client, made, access, lessen):
    token, secret = made
    for credential in (secret, access):
        assert post(client, "/api/learn/", credential).status_code == 200
    lessen(token)
    for credential in (secret, access):
        assert post(client, "/api/learn/", credential).status_code == 403


def test_whatever_adds_to_it_counts_too(client):
    viewer = person("eve", "viewer")
    _, secret = tokens.create(viewer, "laptop")
    assert post(client, "/api/learn/", secret).status_code == 403
    roles.assign(viewer, "researcher")
    assert post(client, "/api/learn/", secret).status_code == 200


def test_a_database_that_cannot_say_lets_nobody_in_and_asks_to_try_again(client, secret, monkeypatch):
    def gone(*args: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(tokens, "_read", gone)
    response = get(client, "/api/models/", f"Bearer {secret}")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "unavailable"
    assert response["Retry-After"]


def test_a_host_that_is_not_ours_is_not_echoed(client, settings):
    settings.ALLOWED_HOSTS = ["tailrace.example"]
    response = get(client, "/api/models/", HTTP_HOST='evil.example"')
    assert response.status_code == 400
    assert "Www-Authenticate" not in response


def test_the_challenge_names_the_host_and_scheme_that_were_asked(client, settings):
    settings.ALLOWED_HOSTS = ["tailrace.example"]
    response = client.get("/api/models/", headers={"Host": "tailrace.example:8443"}, secure=True)
    challenge = parse_auth_header(response["Www-Authenticate"])
    assert challenge.Realm == "https://tailrace.example:8443/api/auth/token/"
    assert challenge.Service == "https://tailrace.example:8443"


# The handshake


def test_the_handshake_step_by_step(client, made):
    token, secret = made
    refused = get(client, "/api/models/")
    assert refused.status_code == 401
    challenge = parse_auth_header(refused["Www-Authenticate"])
    assert (challenge.Realm, challenge.Service) == (REALM, SERVICE)

    granted = client.get(
        challenge.Realm.removeprefix(SERVICE),
        headers={"Authorization": basic("ada", secret), "Service": challenge.Service, "Accept": "application/json"},
    )
    assert granted.status_code == 200
    assert granted["Cache-Control"] == "no-store"
    issued = granted.json()
    assert set(issued) == {"token", "expires_in", "issued_at"}
    assert issued["expires_in"] == 600
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", issued["issued_at"])
    last_used.flush()
    token.refresh_from_db()
    assert token.last_used_at is not None

    assert get(client, "/api/models/", f"Bearer {issued['token']}").json() == {"who": "ada"}


def test_the_handshake_also_works_where_everyone_is_let_in(client, secret, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "open"})
    assert get(client, "/api/auth/token/", basic("ada", secret)).status_code == 200
    assert_refused(get(client, "/api/auth/token/"))
    response = client.post("/api/auth/token/")
    assert (response.status_code, response["Allow"]) == (405, "GET")


def test_the_handshake_refuses_another_users_name(client, secret):
    User.objects.create_user("grace")
    for name in ("grace", "", "Ada", "ada "):
        assert_refused(get(client, "/api/auth/token/", basic(name, secret)), "invalid_credential")


def test_the_handshake_takes_no_access_token_so_none_can_prolong_itself(client, access):
    assert_refused(get(client, "/api/auth/token/", basic("ada", access)), "invalid_credential")
    assert_refused(get(client, "/api/auth/token/", f"Bearer {access}"))


def test_the_handshake_takes_basic_alone(client, secret):
    assert_refused(get(client, "/api/auth/token/"))
    assert_refused(get(client, "/api/auth/token/", f"Bearer {secret}"))


@pytest.mark.one_database
@pytest.mark.parametrize("credential", ["", "!", "YWRh", "YWRhOg==", "Og==", "/w==", "YWRhO", "ÿ", "YWRhOmFkYQ==\x00"])
def test_the_handshake_refuses_malformed_credentials(client, credential):
    assert_refused(get(client, "/api/auth/token/", f"Basic {credential}"), "invalid_credential")


def test_the_handshake_takes_no_password(client, ada):
    ada.set_password("a password")
    ada.save()
    assert_refused(get(client, "/api/auth/token/", basic("ada", "a password")), "invalid_credential")


# What must not be told


def test_no_log_line_and_no_error_holds_a_credential(client, made, access, caplog, monkeypatch):
    token, secret = made
    for name in (None, "django", "django.db.backends"):
        caplog.set_level(logging.DEBUG, logger=name)
    client.raise_request_exception = False
    planted = [secret, access, "trc_" + "5" * 64, "eyJwbGFudGVk.eyJwbGFudGVk.cGxhbnRlZA"]
    shown = []

    def send_all() -> None:
        with CaptureQueriesContext(connection):  # so that queries are logged too
            shown.extend(
                (path, get(client, path, form))
                for credential in planted
                for form in (f"Bearer {credential}", basic("ada", credential), f"Token {credential}", credential)
                for path in ("/api/models/", "/api/v1/models/", "/api/auth/token/", "/api/fails/")
            )

    send_all()
    assert {response.status_code for _, response in shown} == {200, 401, 500}
    tokens.revoke(token)
    send_all()

    def gone(*args: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(tokens, "_read", gone)
    send_all()
    assert "a bug in a view" in caplog.text
    assert "the credential was refused" in caplog.text
    assert "server closed the connection" in caplog.text
    assert "accounts_token" in caplog.text

    handed_out = [r.json()["token"] for path, r in shown if path == "/api/auth/token/" and r.status_code == 200]
    assert handed_out
    encoded = [basic("ada", credential).removeprefix("Basic ") for credential in planted]
    for credential in [*planted, *encoded, *handed_out]:
        assert credential not in caplog.text
        assert credential.removeprefix("trc_") not in caplog.text
    for _, response in shown:
        if response.status_code != 200:
            assert not any(credential in response.content.decode() + str(response.headers) for credential in planted)
