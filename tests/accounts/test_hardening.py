"""What a server in production refuses and says: names that aren't its own, pages of other origins, proxies nobody trusts."""

import base64
import http.client
import os
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse

from server.api.request_checks import MOST_REMEMBERED, Intake
from tests import preloaded
from tests.accounts.calls import PASSWORD, anonymous
from tests.api_client import Api, refused
from tests.people import bearer, person, secret_of
from tests.serving import Server

MODELS = "/api/v1/models/"

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def api() -> Api:
    return anonymous()


# The deployment check


def deployed(tmp_path: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """What ``check --deploy`` says of a server in production; it exits 0 if it has nothing to say."""
    (tmp_path / "key").write_text("0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")} | {
        "TAILRACE_VAR_DIR": str(tmp_path),
        "TAILRACE_BIND": "0.0.0.0:8080",
        "TAILRACE_AUTH": "required",
        "TAILRACE_SECRET_KEY_FILE": str(tmp_path / "key"),
        "TAILRACE_ALLOWED_HOSTS": "tailrace.example.org",
        "TAILRACE_BEHIND_TLS": "true",
        "TAILRACE_TRUSTED_PROXIES": "10.0.0.0/8",
        **changes,
    }
    command = ["manage.py", "check", "--deploy", "--fail-level", "INFO"]
    return preloaded.run(command, {n: v for n, v in environment.items() if v}, 120)


def test_the_deployment_check_has_nothing_to_say_of_production(tmp_path):
    done = deployed(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_the_deployment_check_looks(tmp_path):
    done = deployed(tmp_path, TAILRACE_BEHIND_TLS="false")
    assert done.returncode == 1
    assert "SECURE_SSL_REDIRECT" in done.stderr


@pytest.mark.parametrize(
    "missing, message",
    [
        ("TAILRACE_SECRET_KEY_FILE", "generate one with `python3 -c"),
        ("TAILRACE_ALLOWED_HOSTS", "set TAILRACE_ALLOWED_HOSTS to the names and addresses that callers use"),
        ("TAILRACE_TRUSTED_PROXIES", "TAILRACE_BEHIND_TLS=true needs TAILRACE_TRUSTED_PROXIES"),
    ],
)
def test_beyond_loopback_what_is_missing_stops_the_start_with_one_line_that_says_what_to_do(tmp_path, missing, message):
    done = deployed(tmp_path, **{missing: ""})
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("tailrace: ")
    assert message in line


# Names that it answers to


@pytest.mark.parametrize("path", [MODELS, "/api/models/", "/api/", "/", "/login/", "/api/learn/"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "a b", 'x"', "127.0.0.1,evil"]
)
def test_it_answers_to_no_name_but_its_own(api, settings, path, host):
    """So that no page can have its name point at this machine and talk to an open server here."""
    settings.ALLOWED_HOSTS = settings.TAILRACE.hosts
    response = api.get(path, Host=host)
    error = refused(response, 400, code="bad_host")
    assert response["Connection"] == "close"
    assert "TAILRACE_ALLOWED_HOSTS" in error["message"]


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"])
def test_on_loopback_it_answers_to_the_names_of_loopback(api, settings, host):
    settings.ALLOWED_HOSTS = settings.TAILRACE.hosts
    for _ in range(2):
        assert api.get(MODELS, Host=host).status_code == 200


def test_it_answers_to_the_names_that_are_set_and_to_all_where_that_is_meant(settings):
    settings.ALLOWED_HOSTS = ["tailrace.example.org", "10.1.2.3"]
    api = anonymous()
    assert [api.get(MODELS, Host=h).status_code for h in ("tailrace.example.org:80", "10.1.2.3", "localhost")] == [
        200,
        200,
        400,
    ]
    settings.ALLOWED_HOSTS = ["*"]
    api = anonymous()
    assert [api.get(MODELS, Host=host).status_code for host in ("anything", "10.9.9.9:1", "a b")] == [200, 200, 400]


def test_a_probe_of_health_may_come_by_any_name(client, settings):
    settings.ALLOWED_HOSTS = ["tailrace.example.org"]
    assert client.get("/healthz", headers={"Host": "10.244.0.7:8080"}).status_code == 200


def test_it_remembers_only_so_many_names(rf, settings):
    settings.ALLOWED_HOSTS = ["*"]
    intake = Intake()
    for n in range(2 * MOST_REMEMBERED):
        assert intake.refusal(rf.get("/api/", headers={"Host": f"host-{n}"})) is None
    assert len(intake._hosts) == MOST_REMEMBERED


# Pages of other origins


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:9", "http://127.0.0.1.evil.example"]
)
def test_where_nobody_is_asked_no_page_of_another_origin_may_use_it(api, origin):
    sent = {"Origin": origin, "Host": "127.0.0.1"}
    body = {"x": {"a": 1}, "y": 1}
    for response in (
        api.post("/api/v1/streams/s/observations/", body, content_type="text/plain", **sent),
        api.post("/api/learn/", {}, **sent),
        api.get(MODELS, **sent),
    ):
        refused(response, 403, code="origin")
    assert api.get("/api/v1/streams/s/", Host="127.0.0.1").status_code == 404


def test_its_own_pages_and_programs_may(api):
    for headers in ({"Origin": "http://127.0.0.1:8080"}, {"Origin": "https://127.0.0.1:8080"}, {}):
        assert api.get(MODELS, Host="127.0.0.1:8080", **headers).status_code == 200


# Headers


def credentials_of(api: Api, ada: User) -> dict[str, HttpResponse]:
    """Every kind of answer that has a credential in it."""
    ada.set_password(PASSWORD)
    ada.save()
    own = bearer(secret_of(ada))
    basic = base64.b64encode(f"ada:{secret_of(ada)}".encode()).decode()
    person("eve", "viewer")
    signed_in = api.post("/api/v1/signin/", {"user": "ada", "password": PASSWORD})
    in_person = bearer(signed_in.json()["token"])
    token = api.post("/api/v1/tokens/", {"name": "job"}, **own)
    return {
        "handshake": api.get("/api/auth/token/", Authorization=f"Basic {basic}"),
        "sign-in": signed_in,
        "refresh": api.post("/api/v1/signin/refresh/", {}),
        "token": token,
        "rotation": api.post(f"/api/v1/tokens/{token.json()['id']}/rotate/", {}, **in_person),
        "password": api.post("/api/v1/users/eve/password/", {}, **in_person),
    }


def test_answers_with_a_credential_are_kept_by_no_cache(required, quick_passwords):
    for name, response in credentials_of(anonymous(), person(role="admin")).items():
        assert response.status_code in (200, 201), (name, response.content)
        assert response["Cache-Control"] == "no-store", name


def test_an_answer_of_the_api_is_what_it_says_and_shown_in_no_frame(api):
    for path in (MODELS, "/api/models/", "/api/", "/api/v1/nothing/", "/api/v1/schema/"):
        response = api.get(path)
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert api.post("/api/learn/", {})["X-Content-Type-Options"] == "nosniff"


# Behind a proxy


def asked(server: Server, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, their names in lower case."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_behind_a_proxy_that_ends_tls_pages_are_for_https_alone(serve, kind):
    server = serve(server=kind, workers=1, threads=2, auth="required", behind_tls="true", trusted_proxies="127.0.0.1")
    https = {"X-Forwarded-Proto": "https"}
    own = f"https://127.0.0.1:{server.port}"
    for headers in ({}, {"X-Forwarded-Proto": "http"}):
        status, answered = asked(server, "/login/?next=/x", **headers)
        assert (status, answered["location"]) == (301, f"{own}/login/?next=/x")
        assert asked(server, "/healthz", **headers)[0] == 200
        assert asked(server, MODELS, **headers)[0] == 401  # it would have sent its token already
    status, answered = asked(server, "/login/", **https)
    assert status == 200
    assert answered["strict-transport-security"] == "max-age=31536000"
    assert "; Secure" in answered["set-cookie"]
    assert asked(server, MODELS, **https)[1]["www-authenticate"].startswith(f'realm="{own}/api/')


@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_what_is_forwarded_by_nobody_who_is_trusted_counts_for_nothing(serve, kind):
    server = serve(
        server=kind,
        workers=1,
        threads=2,
        auth="required",
        behind_tls="true",
        trusted_proxies="192.0.2.1",
        address_rate=2,
    )
    lie = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on", "X-Forwarded-Protocol": "ssl"}
    assert asked(server, "/login/", **lie)[0] == 301
    found = [asked(server, "/api/", **{"X-Forwarded-For": f"198.51.100.{n}"})[0] for n in range(4)]
    assert found == [200, 200, 429, 429]
    assert asked(server, MODELS, **lie)[1]["www-authenticate"].startswith('realm="http://')
