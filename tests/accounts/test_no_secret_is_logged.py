"""Log lines never hold a credential, whatever is done with it and however much is logged."""

import base64
import http.client
import json
import re
from typing import Any

import pytest

from server.runtime.logs import scrubbed
from tests.people import bearer
from tests.serving import Server
from tests.wire import request, sent

pytestmark = pytest.mark.one_database

PASSWORD, WRONG = "planted hill of 12 stones", "planted and wrong 12 times"
KEY = "planted-key-" + "k" * 40


@pytest.fixture(params=["gunicorn", "granian"])
def verbose(request: pytest.FixtureRequest, serve: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that logs all it can, has an admin, and fails at /fail/."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "password").write_text(PASSWORD)
    for name, value in {
        "DJANGO_SETTINGS_MODULE": "tests.accounts.buggy_settings",
        "GUNICORN_CMD_ARGS": "--access-logfile - --capture-output",
        "GRANIAN_LOG_ACCESS_ENABLED": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return serve(
        server=request.param, auth="required", workers=1, threads=4, log_level="DEBUG", token_rate=1000, login_failures=3,
        secret_key_file=tmp_path / "key", admin_user="ada", admin_password_file=tmp_path / "password",
    )  # fmt: skip


def exchange(server: Server, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, list[str]]:
    """Status, body and cookies of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
    connection.request(method, path, data, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    cookies = [cookie.partition(";")[0] for cookie in answer.headers.get_all("Set-Cookie", [])]
    return answer.status, json.loads(content) if content[:1] == b"{" else content, cookies


def test_no_line_of_any_log_holds_what_was_planted(verbose):
    made = verbose.manage("init")
    token = made.stdout.strip()
    basic = base64.b64encode(f"ada:{token}".encode()).decode()
    _, granted, _ = exchange(verbose, "GET", "/api/auth/token/", Authorization=f"Basic {basic}")
    status, person, (refresh,) = exchange(verbose, "POST", "/api/v1/signin/", {"user": "ada", "password": PASSWORD})
    assert status == 200
    fresh = exchange(verbose, "POST", "/api/v1/tokens/", {"name": "job"}, **bearer(person["token"]))[1]["token"]
    session = page_session(verbose)
    credentials = [token, fresh, granted["token"], person["token"], refresh.partition("=")[2], basic]

    for secret in credentials:
        use(verbose, secret)
    for path in ("/account/", "/account/tokens/", "/fail/", "/api/v1/me/"):
        exchange(verbose, "GET", path, Cookie=session)
    sent(verbose, request(PASSWORD.encode()))
    sent(verbose, request(b"Content-Length: 2", body=b"{}" + PASSWORD.replace(" ", "").encode() + b"\r\n"))
    for body in (
        {"user": "ada", "password": WRONG},
        {"user": WRONG, "password": "x"},  # typed into the wrong field
        {"user": "ada", "password": [WRONG]},
        {"user": "ada", "password": WRONG, WRONG: 1},
        f'{{"user": "ada", "password": "{WRONG}'.encode(),
    ):
        assert exchange(verbose, "POST", "/api/v1/signin/", body)[0] in (400, 401)
    for _ in range(4):  # the last ones are locked out
        exchange(verbose, "POST", "/api/v1/signin/", {"user": "ada", "password": WRONG})
    exchange(verbose, "POST", "/api/v1/me/password/", {"old": PASSWORD, "new": WRONG + " x"}, **bearer(person["token"]))
    exchange(verbose, "POST", "/api/v1/signin/refresh/", {}, Cookie=refresh)
    status, *_ = exchange(verbose, "POST", "/api/v1/signin/refresh/", {}, Cookie=refresh)
    assert status in (401, 409)
    assert verbose.get("/api/v1/audit/", **bearer(token))[0] == 200
    audit = json.dumps(verbose.get("/api/v1/audit/", **bearer(token))[1])
    assert verbose.stop() == 0

    log = verbose.log.read_text()
    for line in (
        "invalid_credential",
        "RuntimeError: no use for",
        "no_such_address",
        "GET /api/",
    ):
        assert line in log, "it logs less than this test is about"
    credentials.append(session.partition("=")[2])
    parts = [part for secret in credentials for part in (secret, *secret.split(".")) if len(part) > 20]
    for planted in (PASSWORD, WRONG, KEY, *parts):
        assert planted not in log
        assert planted not in audit
        assert planted not in made.stderr


def page_session(server: Server) -> str:
    """The session of a browser that signed in."""
    _, form, cookies = exchange(server, "GET", "/login/")
    field = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', form)
    body = f"csrfmiddlewaretoken={field[1].decode()}&username=ada&password={PASSWORD.replace(' ', '+')}".encode()
    status, _, cookies = exchange(
        server,
        "POST",
        "/login/",
        body,
        Cookie="; ".join(cookies),
        **{"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert status in (302, 303)
    return next(cookie for cookie in cookies if cookie.startswith("tailrace-session="))


def use(server: Server, secret: str) -> None:
    """Everything that goes right or wrong with a credential."""
    for scheme in ("Bearer", "Basic", "Token", ""):
        header = {"Authorization": f"{scheme} {secret}".strip()}
        for method, path in (("GET", "/api/v1/me/"), ("GET", "/api/models/"), ("DELETE", "/api/v1/streams/none/"),
                             ("POST", "/api/learn/"), ("GET", "/api/auth/token/"), ("PUT", "/api/v1/me/")):  # fmt: skip
            exchange(server, method, path, **header)
        for path in ("/api/fail/", "/fail/"):
            assert (
                exchange(server, "GET", path, Cookie=f"tailrace-session={secret}; tailrace_refresh={secret}", **header)[
                    0
                ]
                == 500
            )
    good = bearer(secret)
    for body in (
        f'{{"x": "{secret}'.encode(),
        {secret: 1},
        {"x": {"a": secret}, "y": secret},
        {"x": {secret: {}}, "y": 1},
    ):
        exchange(server, "POST", f"/api/v1/streams/{secret[:30]}/observations/", body, **good)
    exchange(server, "POST", "/api/v1/streams/", {"name": f"a {secret}"}, **good)
    for path in (
        f"/api/v1/me/?token={secret}",
        f"/api/v1/models/{secret}/",
        f"/nothing/{secret}",
        f"/login/?next=/{secret}",
    ):
        exchange(server, "GET", path, **good)
        exchange(server, "GET", path)
    exchange(
        server,
        "GET",
        "/login/",
        Cookie=f"tailrace-session={secret}; tailrace-csrf={secret}",
        Referer=f"http://x/?{secret}",
    )
    exchange(server, "GET", "/login/", **{"User-Agent": secret})
    exchange(server, "GET", "/api/v1/me/", Host=secret)
    exchange(server, "GET", "/api/v1/me/", **{"X-Request-Id": f"{secret} "})
    exchange(server, "GET", "/api/v1/events/", **{"Last-Event-ID": secret}, **good)
    raw = secret.encode()
    for data in (
        request(b"Authorization Bearer " + raw),
        request(b"Authorization: Bearer " + raw + b"\x00"),
        request(b"Transfer-Encoding: " + raw),
        request(b"Content-Length: " + raw),
        request(line=b"GET /?token=" + raw + b" HTTP/9.9"),
        request(line=raw),
        request(b"Content-Length: 2", body=b"{}" + raw + b" is what follows\r\n\r\n"),
    ):
        sent(server, data)


@pytest.mark.parametrize(
    "line, shown",
    [
        ("token trc_" + "0a" * 32 + " of ada", "token trc_… of ada"),
        ("GET /?t=trr_7_" + "0a" * 32, "GET /?t=trr_…"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJ0aWQiOjF9.c2lnbmF0dXJl, expected", "got eyJ…, expected"),
        ("'Authorization': 'Bearer abcdef.123456'", "'Authorization': 'Bearer …'"),
        ("authorization: basic YWRhOnggaW4geQo=", "authorization: basic …"),
        ("{'tailrace-session': 'abc', 'theme': 'dark'}", "{'tailrace-session': '…', 'theme': 'dark'}"),
        (
            "Cookie: tailrace-session=abc; tailrace-csrf=def; theme=dark",
            "Cookie: tailrace-session=…; tailrace-csrf=…; theme=dark",
        ),
        ("can't reach postgresql://ada:p4ss@db:5432/x", "can't reach postgresql://ada:…@db:5432/x"),
        ("http://127.0.0.1:8080/a@b is fine", "http://127.0.0.1:8080/a@b is fine"),
        ("a bearer of news", "a bearer of news"),
        ("no use for " + "YWRhOnRyY1" * 5, "no use for …"),
        ("request 0123456789abcdef0123456789abcdef: not_found", "request 0123456789abcdef0123456789abcdef: not_found"),
        ("GET /api/v1/streams/runs/: not_found", "GET /api/v1/streams/runs/: not_found"),
    ],
)
def test_what_can_be_recognised_is_taken_out_of_any_line(line, shown):
    assert scrubbed(line) == shown
