"""A post never hurts the job: whatever the server and the network do, it ends in time and nothing is lost."""

import json
import socket
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from tailrace.errors import Conflict, Refused, TooMany, Unauthorized, Unreachable, Unusable
from tailrace.posting.bulk import send_rows
from tailrace.posting.post import post
from tailrace.spool.directory import digest, spooled_name
from tailrace.spool.spool import Spool
from tailrace.transport.observation_requests import check_stream, observations_path
from tailrace.transport.server import Server

from server.core.errors import Invalid
from server.core.validation import check_name
from tests.client.listeners import HTML, answer, half_closing, listening, replies, silent, trickling
from tests.client.running import NOBODY, body_of, environment, kept, receipt

pytestmark = pytest.mark.one_database

X = {"x": 8, "y": 16}
HANG = 30  # seconds: a bound for what would never end, not a measurement


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def error(message, code="x"):
    return json.dumps({"error": {"code": code, "message": message, "request_id": "r1"}}).encode()


def hanging_up(connection, number):
    """Reads the request and closes without a word."""
    connection.close()


def chatting(connection, number):
    """Speaks another protocol."""
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.close()


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (replies(answer("500 Internal Server Error", error("a bug"))), "500 Internal Server Error: a bug"),
        (replies(answer("502 Bad Gateway", HTML, "Content-Type: text/html")), "502 Bad Gateway: 502 Bad Gateway nginx"),
        (replies(answer("302 Found", b"", "Location: http://login.example/")), "a redirect to http://login.example/"),
        (replies(answer("200 OK", HTML)), "is this a Tailrace server"),
        (replies(answer("200 OK", b"[]")), "is this a Tailrace server"),
        (replies(answer("401 Unauthorized", b"")), "TAILRACE_TOKEN is not set"),
        (replies(answer("404 Not Found", error("no stream named s"))), "no stream named s"),
        (half_closing, "its answer broke off"),
        (hanging_up, "it closed the connection without an answer"),
        (chatting, "the response is not HTTP"),
        (silent, "in time"),
        (trickling, "in time"),
    ],
    ids=[
        "500", "502 html", "redirect", "html", "json of others", "401", "404", "half-closed", "closed", "smtp",
        "silent", "trickling",
    ],
)  # fmt: skip
def test_what_is_not_delivered_is_kept(spool, behave, said):
    with listening(behave) as listener:
        began = time.monotonic()
        posted = post("s", X, 120.5, key="k", server=Server(listener.url), spool=spool, deadline=1)
        assert time.monotonic() - began < HANG
    assert not posted.delivered
    assert said in posted.reason
    assert kept(spool) == [{"x": X, "y": 120.5, "key": "k"}]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (NOBODY, "connection refused"),
        ("http://no-such-host.invalid", "can't be looked up"),
        ("http://a..b", "can't be looked up"),
    ],
)
def test_what_can_not_be_reached_is_kept_for(spool, url, said):
    posted = post("s", X, 1.0, server=Server(url), spool=spool)
    assert isinstance(posted.error, Unreachable)
    assert said in posted.reason
    assert len(kept(spool)) == 1


def test_a_look_up_that_hangs_does_not_hold_it_up(tmp_path):
    """A resolver that answers nothing: a name look-up has no timeout of its own. In a name space of files of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        try:
            deaf.bind(("127.9.9.9", 53))
        except OSError as trouble:
            pytest.skip(f"no name server can be played here: {trouble}")
        (tmp_path / "resolv.conf").write_text("nameserver 127.9.9.9\noptions timeout:30 attempts:9\n")
        arguments = "-m tailrace post s x=8 --y 1 --url http://tailrace.example --deadline 0.5"
        script = f'mount --bind resolv.conf /etc/resolv.conf && exec "{sys.executable}" {arguments} --spool spool'
        began = time.monotonic()
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert time.monotonic() - began < HANG
        assert deaf.recv(512)  # it was asked
    assert done.returncode == 0, done.stderr
    assert "in time" in done.stderr
    assert len(kept(tmp_path / "spool")) == 1


def test_a_server_that_comes_back_within_the_deadline_gets_it(spool):
    with listening(replies(answer("503 Service Unavailable"), answer("500 Oops"), receipt(7))) as listener:
        posted = post("s", X, 1.0, key="k", server=Server(listener.url), spool=spool)
        assert (posted.delivered, posted.number) == (True, 7)
        assert [body_of(request)["key"] for request in listener.requests] == ["k"] * 3
    assert spool.waiting() == []


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found", "408 Request Timeout"])
def test_only_what_may_change_is_tried_again(spool, status):
    with listening(replies(answer(status, error("no")))) as listener:
        post("s", X, 1.0, server=Server(listener.url), spool=spool)
        assert len(listener.requests) == 1


@pytest.mark.parametrize("status", [*range(300, 432), 451, 494, 499])
def test_a_page_of_a_proxy_is_no_word_about_the_point(spool, status):
    """Of whatever status. It waits, and is delivered once Tailrace itself answers."""
    page = answer(f"{status} Of A Proxy", f"<html><h1>{status} from the proxy</h1></html>".encode())
    with listening(replies(page)) as listener:
        posted = post("s", X, 1.0, server=Server(listener.url), spool=spool, deadline=2)
    assert (posted.delivered, posted.refused) == (False, False)
    assert len(kept(spool)) == 1


@pytest.mark.parametrize(
    "status, code, final",
    [
        ("400 Bad Request", "invalid", True), ("400 Bad Request", "not_json", True), ("400 Bad Request", "bad_host", False),
        ("400 Bad Request", "cut_off", False), ("400 Bad Request", "of_another_version", False), ("409 Conflict", "conflict", True),
        ("409 Conflict", "frozen", False), ("410 Gone", "gone", True), ("410 Gone", "x", False), ("413 Too Large", "too_large", True),
        ("413 Too Large", "too_slow", False), ("415 No", "unsupported_media_type", True), ("422 No", "invalid", False),
    ],
)  # fmt: skip
def test_only_what_tailrace_says_of_the_point_is_final(spool, status, code, final):
    with listening(replies(answer(status, error("no", code)))) as listener:
        posted = post("s", X, 1.0, server=Server(listener.url), spool=spool, deadline=2)
    assert posted.refused is final
    assert len(kept(spool)) == (0 if final else 1)


def test_an_hour_that_it_is_asked_to_wait_does_not_fit_into_the_deadline(spool):
    busy = answer("429 Too Many Requests", error("wait"), "Retry-After: 3600")
    with listening(replies(busy)) as listener:
        posted = post("s", X, 1.0, server=Server(listener.url), spool=spool, deadline=20)
        assert len(listener.requests) == 1
    assert isinstance(posted.error, TooMany)
    assert len(kept(spool)) == 1


@pytest.mark.parametrize("clock", [0, 3600, -3600], ids=["right", "an hour ahead", "an hour behind"])
def test_a_date_that_it_is_asked_to_wait_for_is_read_by_the_servers_clock(spool, clock):
    """In a second, by the server; by ours in an hour, or an hour ago."""
    now = time.time() + clock
    headers = [f"Date: {formatdate(now, usegmt=True)}", f"Retry-After: {formatdate(now + 1, usegmt=True)}"]
    with listening(replies(answer("503 Service Unavailable", error("soon"), *headers), receipt())) as listener:
        began = time.monotonic()
        assert post("s", X, 1.0, server=Server(listener.url), spool=spool).delivered
        assert time.monotonic() - began >= 1
        assert len(listener.requests) == 2


def test_what_the_server_will_never_take_is_set_aside_with_the_reason(spool):
    body = b'{"error": {"code": "invalid", "message": "x.a is null", "field": "x.a", "request_id": "r1"}}'
    with listening(replies(answer("400 Bad Request", body))) as listener:
        posted = post("s", X, 1.0, key="k", server=Server(listener.url), spool=spool)
    assert isinstance(posted.error, Refused)
    assert posted.refused
    assert (posted.error.status, posted.error.code, posted.error.field) == (400, "invalid", "x.a")
    assert posted.error.request_id == "r1"
    assert spool.waiting() == []
    assert "x.a is null" in spool.refusal("s", "k").read_text()
    assert json.loads(posted.kept.read_bytes())["observation"]["y"] == 1.0


def test_a_token_that_expired_meanwhile_can_be_put_right_so_it_waits(spool):
    with listening(replies(answer("401 Unauthorized", error("the token expired at noon")))) as listener:
        posted = post("s", X, 1.0, server=Server(listener.url, token="trc_old"), spool=spool)
    assert isinstance(posted.error, Unauthorized)
    assert "expired at noon" in posted.reason
    assert "not set" not in posted.reason
    assert len(kept(spool)) == 1


def test_an_answer_that_comes_before_all_was_sent_is_heard(spool):
    """A server that refuses by the headers alone closes before it has read the body."""

    def hasty(connection):
        connection.recv(100)
        connection.sendall(answer("401 Unauthorized", error("who are you?")))
        connection.close()

    with listening(lambda *_: None, reading=hasty) as listener:
        body = {f"feature-{number}": number for number in range(200_000)}
        posted = post("s", body, 1.0, server=Server(listener.url), spool=spool, deadline=20)
    assert "who are you?" in posted.reason
    assert len(kept(spool)) == 1


def test_a_conflict_is_a_conflict():
    with listening(replies(answer("409 Conflict", b"{}"))) as listener, pytest.raises(Conflict):
        Server(listener.url).request("POST", "/api/v1/models/", {})


def test_the_token_is_sent_and_never_shown(spool):
    with listening(replies(answer("403 Forbidden", b"{}"))) as listener:
        server = Server(listener.url, token="trc_secret")
        posted = post("s", X, 1.0, server=server, spool=spool)
        assert b"\r\nAuthorization: Bearer trc_secret\r\n" in listener.requests[0]
    assert "trc_secret" not in repr(posted) + repr(server) + posted.reason


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://x", "expected an address such as"),
        ("cluster:8080", "expected an address such as"),
        ("http://", "expected an address such as"),
        ("http://x y", "expected an address such as"),
        ("http://x?token=1", "expected an address such as"),
        ("http://x:99999", "1 to 65535"),
        ("http://user:secret@x", "TAILRACE_TOKEN"),
    ],
)
def test_an_address_that_is_none_is_said_to_be(url, said):
    with pytest.raises(Unusable, match=said) as caught:
        Server(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "umläut"])
def test_a_token_that_can_not_be_sent_is_said_to_be(token):
    with pytest.raises(Unusable, match="token"):
        Server(NOBODY, token=token)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        ("http://head", "head", 80, "head", ""),
        ("HTTPS://Head.Example/tailrace/", "head.example", 443, "head.example", "/tailrace"),
        ("http://head:8080", "head", 8080, "head:8080", ""),
        ("http://[::1]:8080", "::1", 8080, "[::1]:8080", ""),
        ("http://höhe.example", "xn--hhe-sna.example", 80, "xn--hhe-sna.example", ""),
    ],
)
def test_an_address_is_taken_apart(url, host, port, authority, path):
    server = Server(url)
    assert (server.host, server.port, server.authority, server.path) == (host, port, authority, path)


@pytest.mark.parametrize("setting", ["TAILRACE_URL", "TAILRACE_TOKEN", "TAILRACE_CA_FILE", "TAILRACE_SPOOL_MB"])
def test_a_setting_that_can_not_be_used_loses_nothing(spool, monkeypatch, setting):
    monkeypatch.setenv("TAILRACE_URL", "https://127.0.0.1:9")
    monkeypatch.setenv(setting, "no such thing\n")
    with listening(silent) as listener:
        monkeypatch.setenv("TAILRACE_URL", listener.url.replace("http", "https")) if "CA" in setting else None
        posted = post("s", X, 1.0, key="k", spool=spool.place, deadline=2)
    assert not posted.delivered
    assert kept(spool) == [{"x": X, "y": 1.0, "key": "k"}]


@pytest.mark.parametrize("value", [float("nan"), {1}, object()])
def test_what_can_not_be_said_in_json_is_an_error_of_the_caller(spool, value):
    with pytest.raises(Unusable, match=r"^y is .*: expected a"):
        post("s", X, value, server=Server(NOBODY), spool=spool)
    with pytest.raises(Unusable, match="JSON"):
        post("s", X, 1.0, source={"job": value}, server=Server(NOBODY), spool=spool)


@pytest.mark.parametrize(
    "said",
    [{"last": None}, {"last": "5"}, {"last": 5}, {"last": True, "accepted": 1, "duplicates": 0}, {"accepted": 1}, [], "ok",
     {"last": 5, "accepted": "1", "duplicates": 0}, {"last": 5, "accepted": 1, "duplicates": None}],
)  # fmt: skip
def test_json_of_something_else_is_no_receipt_and_the_point_is_kept(spool, said):
    reply = answer("200 OK", json.dumps(said).encode(), "Content-Type: application/json")
    with listening(replies(reply)) as listener:
        posted = post("s", X, 1.0, key="k", server=Server(listener.url), spool=spool, deadline=1)
        assert not posted.delivered
        assert "is this a Tailrace server?" in posted.reason
        with pytest.raises(Unreachable, match="is this a Tailrace server"):
            list(Spool(spool.place).flush(Server(listener.url), deadline=1))
    assert kept(spool) == [{"x": X, "y": 1.0, "key": "k"}]


def test_the_path_of_a_stream_holds_its_name_whatever_it_is():
    assert observations_path("a/b c") == "/api/v1/streams/a%2Fb%20c/observations/"
    assert observations_path("..") == "/api/v1/streams/%2E%2E/observations/"


@pytest.mark.parametrize("name", ["a/../b", "..", "", "a b", "ö", "a" * 201, "-a", ".a", "a\n"])
def test_a_name_that_no_stream_can_have_is_refused_before_anything_is_sent_or_kept(spool, name):
    with listening(replies(receipt(1))) as listener:
        with pytest.raises(Unusable, match="is not a stream's name: expected 1 to 200 letters, digits"):
            post(name, X, 1.0, key="k", server=Server(listener.url), spool=spool)
        with pytest.raises(Unusable, match="is not a stream's name"):
            list(send_rows(Server(listener.url), name, [], 5))
        assert listener.requests == []
    assert kept(spool) == []
    for good in ("a", "9._-", "a" * 200):
        assert check_stream(good) == check_name(good, "stream") == good
    with pytest.raises(Invalid):
        check_name(name, "stream")


def test_a_file_of_such_a_stream_that_an_earlier_release_kept_is_set_aside(spool):
    path = Path(spool.place) / spooled_name(1, 10, digest("a/../b", "k"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"stream": "a/../b", "observation": {"x": X, "y": 1.0, "key": "k"}}))
    with listening(replies(receipt(1))) as listener:
        (one,) = Spool(spool.place).flush(Server(listener.url), deadline=5)
        assert listener.requests == []
    assert "'a/../b' is not a stream's name" in one.refused
    assert json.loads(one.path.read_text())["stream"] == "a/../b"
    assert kept(spool) == []


def test_a_point_is_sent_as_it_was_given():
    x = {"größe": 1.5, "pair": "Cu-Zr", "periodic": True, "n": -3}
    with listening(replies(receipt(3, duplicates=1))) as listener:
        posted = post("a.b", x, 0, key="k", source={"job": "1"}, server=Server(f"{listener.url}/base"))
        request = listener.requests[0]
    assert request.startswith(b"POST /base/api/v1/streams/a.b/observations/ HTTP/1.1\r\n")
    assert body_of(request) == {"x": x, "y": 0, "key": "k", "source": {"job": "1"}}
    assert (posted.delivered, posted.known_before, posted.number) == (True, True, 3)
