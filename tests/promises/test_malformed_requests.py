"""Requests that two servers could read in two ways, and heads without end: refused, and the connection closed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving import Server, fresh_database
from tests.wire import Answer, connect, request, sent

pytestmark = [pytest.mark.both_servers, pytest.mark.one_database]

POINT = b'{"x": {"a": 1}, "y": 1}'
LENGTH = b"Content-Length: %d" % len(POINT)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(POINT), POINT)
SMUGGLED = b"POST /api/v1/streams/smuggled/observations/ HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n\r\n%s" % (LENGTH, POINT)

BOTH = {
    "length and chunks": request(LENGTH, CHUNKED, body=CHUNKS),
    "chunks and length": request(CHUNKED, LENGTH, body=CHUNKS),
    "chunks and a short length": request(CHUNKED, b"Content-Length: 4", body=CHUNKS),
    "chunks": request(CHUNKED, body=CHUNKS),
    "chunks twice": request(CHUNKED, CHUNKED, body=CHUNKS),
    "chunks in HTTP/1.0": request(CHUNKED, line=b"POST /api/v1/streams/s/observations/ HTTP/1.0", body=CHUNKS),
    "unknown coding": request(b"Transfer-Encoding: xchunked", body=CHUNKS),
    "identity after chunks": request(b"Transfer-Encoding: chunked, identity", body=CHUNKS),
    "blank before the colon": request(b"Transfer-Encoding : chunked", LENGTH, body=POINT),
    "underscore for a dash": request(b"Transfer_Encoding: chunked", LENGTH, body=POINT),
    "a chunk without end": request(CHUNKED, body=b"FFFFFFFF\r\nabc"),
    "no chunk": request(CHUNKED, body=b"zz\r\nabc"),
    "two lengths": request(LENGTH, b"Content-Length: 4", body=POINT),
    "two lengths in one": request(b"Content-Length: %d, %d" % (len(POINT), len(POINT)), body=POINT),
    "signed length": request(b"Content-Length: +%d" % len(POINT), body=POINT),
    "negative length": request(b"Content-Length: -1", body=POINT),
    "length in words": request(b"Content-Length: ten", body=POINT),
    "a body beyond all bounds": request(b"Content-Length: 99999999999", body=POINT),
    "folded line": request(LENGTH, b"X-A: 1\r\n 2", body=POINT),
    "NUL in a value": request(LENGTH, b"X-A: a\x00b", body=POINT),
    "NUL in a name": request(LENGTH, b"X\x00A: b", body=POINT),
    "CR in a value": request(LENGTH, b"X-A: a\rb", body=POINT),
    "no colon": request(LENGTH, b"Authorization Bearer x", body=POINT),
    "two hosts": request(LENGTH, b"Host: elsewhere", body=POINT),
    "another host": request(LENGTH, body=POINT).replace(b"Host: 127.0.0.1", b"Host: evil.example"),
    "a field beyond all bounds": request(LENGTH, b"X-A: " + b"a" * 200_000, body=POINT),
    "fields beyond all bounds": request(LENGTH, *[b"X-%d: a" % n for n in range(2000)], body=POINT),
    "a line beyond all bounds": request(LENGTH, line=b"POST /" + b"a" * 200_000 + b" HTTP/1.1", body=POINT),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
GUNICORN = {
    "the same length twice": request(LENGTH, LENGTH, body=POINT),
    "X_Forwarded_For": request(LENGTH, b"X_Forwarded_For: 192.0.2.1", body=POINT),
    "SCRIPT_NAME": request(LENGTH, b"SCRIPT_NAME: /api", body=POINT),
    "LF alone": request(LENGTH, b"X-A: a\nX-B: c", body=POINT),
    "an expectation": request(LENGTH, b"Expect: 200-ok", body=POINT),
    "more fields than fit": request(LENGTH, *[b"X-%d: a" % n for n in range(100)], body=POINT),
    "a field longer than fits": request(LENGTH, b"X-A: " + b"a" * 8200, body=POINT),
    "a line longer than fits": request(LENGTH, line=b"POST /" + b"a" * 4100 + b" HTTP/1.1", body=POINT),
}
CODES = {400: "bad_request", 408: "request_timeout", 411: "length_required", 413: "too_large", 414: "too_large",
         417: "bad_request", 431: "too_large"}  # fmt: skip


@pytest.fixture(scope="module", params=["gunicorn", "granian"])
def listening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for all of these requests."""
    with fresh_database("malformed") as database:
        directory = tmp_path_factory.mktemp(request.param) / "var"
        server = Server(directory, database, server=request.param, workers=1, threads=4).start()
        yield server
        server.stop()


def is_gunicorn(server: Server) -> bool:
    return server.environment["TAILRACE_SERVER"] == "gunicorn"


def streams(server: Server) -> Any:
    return server.get("/api/v1/streams/")[1]


def refused(server: Server, data: bytes) -> Answer:
    before = streams(server)
    answer = sent(server, data, then=[SMUGGLED])
    assert streams(server) == before
    assert answer.answers <= 1, "what followed was served"
    return answer


@pytest.mark.parametrize("name", BOTH)
def test_it_is_refused_with_all_that_follows(listening, name):
    answer = refused(listening, BOTH[name])
    if name == "HTTP/2" and not is_gunicorn(listening):
        assert answer.status == 0  # granian just hangs up
        return
    assert 400 <= answer.status < 500
    if is_gunicorn(listening):
        error = json.loads(answer.body)["error"]
        assert set(error) == {"code", "message", "request_id"}
        assert error["code"] in (CODES[answer.status], "bad_host")


@pytest.mark.parametrize("listening", ["gunicorn"], indirect=True)
@pytest.mark.parametrize("name", GUNICORN)
def test_gunicorn_refuses_more_than_granian_can(listening, name):
    answer = refused(listening, GUNICORN[name])
    assert json.loads(answer.body)["error"]["code"] == CODES[answer.status]


def test_what_is_sent_right_is_taken_and_the_connection_kept(listening):
    with connect(listening) as connection:
        for n in range(3):
            connection.sendall(request(LENGTH, b"X-A: " + b"a" * 8000, body=POINT))
            answer = b""
            while b"duplicates" not in answer:
                piece = connection.recv(65536)
                assert piece, (n, answer)
                answer += piece
            assert answer.startswith(b"HTTP/1.1 201")
