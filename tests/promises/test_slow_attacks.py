"""Clients that send and take as slowly as they can, by the dozen: others learn as if they weren't there."""

import contextlib
import http.client
import json
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.people import bearer, made_on
from tests.serving import PATIENCE, Server
from tests.wire import connect, request, until_closed

pytestmark = pytest.mark.one_database

SLOW = 60
GOOD = 12
DEADLINE = 10
"""Seconds that a good learn may take on a busy machine; a slow client keeps a thread for sixty if it can."""

BOTH = pytest.mark.parametrize("kind", ["gunicorn", "granian"])
Serve = Callable[..., Server]
POINT = json.dumps({"x": {"a": 1}, "y": 1.0}).encode()
LENGTH = b"Content-Length: 1000"


@contextlib.contextmanager
def dripping(server: Server, data: bytes, count: int = SLOW) -> Iterator[list[socket.socket]]:
    """Connections on which as much was sent, and a byte comes now and then; who is shut out comes again."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(server)) for _ in range(count)]
        for connection in opened:
            connection.sendall(data)

        def drip() -> None:
            while not over.wait(0.1):
                for n, connection in enumerate(opened):
                    try:
                        connection.sendall(b"a")
                    except OSError:
                        opened[n] = stack.enter_context(connect(server))
                        opened[n].sendall(data)

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield opened
        finally:
            over.set()
            thread.join()


def learn(server: Server, secret: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    try:
        headers = {"Content-Type": "application/json", **bearer(secret)}
        connection.request("POST", "/api/v1/streams/s/observations/", POINT, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except TimeoutError:
        return 0
    finally:
        connection.close()


ATTACKS = {
    "heads": (b"POST /api/v1/streams/s/observations/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", 0),
    "bodies after a 401": (request(LENGTH), 401),
    "bodies after a 429": (
        request(LENGTH, b"Authorization: Basic YTpi", line=b"GET /api/auth/token/ HTTP/1.1"),
        429,
    ),
}


@BOTH
def test_sixty_that_drip_keep_nobody_from_learning(serve: Serve, kind: str):
    """Some by another token than those who learn, which granian, which can't end a body, needs to tell them apart."""
    server = serve(server=kind, workers=1, threads=4, auth="required", request_seconds=60, address_rate=10)
    secrets = {name: secret for name, (_, secret) in made_on(server, ada="researcher", eve="researcher").items()}
    while server.get("/api/auth/token/", Authorization="Basic YTpi")[0] != 429:
        pass
    attacks = {**ATTACKS, "bodies": (request(LENGTH, b"Authorization: Bearer " + secrets["eve"].encode()), 0)}
    for attack, (data, status) in attacks.items():
        with dripping(server, data):
            assert [learn(server, secrets["ada"]) for _ in range(GOOD)] == [201] * GOOD, attack
            if status:
                with connect(server) as late:
                    late.sendall(data + b"a" * 1000)
                    answer = http.client.HTTPResponse(late)
                    answer.begin()
                    assert answer.status in (status, 429)
    assert "Traceback" not in server.log.read_text()


@BOTH
def test_who_is_answered_before_the_body_came_is_told_that_the_connection_ends(serve: Serve, kind: str):
    server = serve(server=kind, workers=1, threads=1, auth="required", max_body_bytes=2048)
    for data, status in (
        (request(b"Content-Length: 2049"), 413),
        (request(b"Content-Length: 2049", body=b"a" * 5), 413),
    ):
        with connect(server) as connection:
            connection.sendall(data)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.headers["Connection"]) == (status, "close")
            answer.read()
            assert connection.recv(100) == b""


def test_a_body_that_came_whole_and_nobody_read_leaves_the_connection_as_it_is(serve: Serve):
    server = serve(server="gunicorn", workers=1, threads=1, auth="required")
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(request(b"Content-Length: 70000", body=b"a" * 70_000))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.headers["Connection"]) == (401, "keep-alive")
            answer.read()


def test_a_large_body_that_stops_gives_up_its_thread_when_others_wait(serve: Serve):
    server = serve(server="gunicorn", workers=1, threads=1, request_seconds=60)
    with connect(server) as large:
        large.sendall(request(b"Content-Length: 1000000", body=b"a" * 300_000))
        while not select.select([large], [], [], 0)[0]:  # the first may come before the large one has the thread
            assert server.post("/api/v1/streams/s/observations/", {"x": {"a": 1}, "y": 1})[0] == 201
        answer = until_closed(large)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (408, "request_timeout")


def test_who_asks_whether_to_send_the_body_is_told_to_once(serve: Serve):
    server = serve(server="gunicorn", workers=1, threads=1)
    with connect(server) as connection:
        head = request(b"Content-Length: %d" % len(POINT), b"Expect: 100-continue", b"Connection: close")
        connection.sendall(head)
        told = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.recv(1000) == told
        connection.sendall(POINT)
        rest = b""
        while piece := connection.recv(1000):
            rest += piece
    assert rest.startswith(b"HTTP/1.1 201") and told not in rest


def test_requests_that_come_together_are_answered_in_turn_and_half_of_one_when_it_is_whole(serve: Serve):
    server = serve(server="gunicorn", workers=1, threads=1)
    one = request(b"Content-Length: %d" % len(POINT), body=POINT)
    with connect(server) as connection:
        connection.sendall(one * 40 + one[:-5])
        seen = b""
        while seen.count(b"HTTP/1.1 201") < 40 or not seen.endswith(b"}"):
            seen += connection.recv(65536)
        connection.sendall(one[-5:])
        while seen.count(b"HTTP/1.1 201") < 41:
            seen += connection.recv(65536)
    assert server.get("/api/v1/streams/s/")[1]["head"] == 41


def answered(connection: socket.socket) -> int:
    """The status of the next answer on a connection that is kept."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    assert answer.headers["Connection"] != "close"
    return answer.status


@BOTH
def test_three_hundred_kept_connections_of_one_address_are_served(serve: Serve, kind: str):
    server = serve(server=kind)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(server)) for _ in range(300)]
        for _ in range(2):
            waiting = opened
            for _ in range(100):  # on a busy machine, some are told to try again, and keep their connections
                for connection in waiting:
                    connection.sendall(request(b"Content-Length: %d" % len(POINT), body=POINT))
                statuses = {connection: answered(connection) for connection in waiting}
                assert set(statuses.values()) <= {201, 503}
                waiting = [connection for connection, status in statuses.items() if status == 503]
                if not waiting:
                    break
            assert waiting == []
    assert server.get("/api/v1/streams/s/")[1]["head"] == 600


def told(connection: socket.socket) -> str:
    """What a connection is told that is one too many."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert (answer.status, answer.headers["Retry-After"], answer.headers["Connection"]) == (503, "1", "close")
    error = json.loads(answer.read())["error"]
    assert error["code"] == "too_many_connections"
    return str(error["message"])


def alive(connection: socket.socket) -> bool:
    connection.sendall(request(line=b"GET /healthz HTTP/1.1"))
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status == 200


def from_address(server: Server, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE, source_address=(address, 0))


def test_connections_of_one_address_are_bounded_and_the_answer_says_so(serve: Serve):
    server = serve(server="gunicorn", workers=1, threads=2, connections_per_address=4)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(from_address(server, "127.0.0.2")) for _ in range(4)]
        assert all(alive(connection) for connection in opened)
        with from_address(server, "127.0.0.2") as fifth:
            message = told(fifth)
        assert "4 connections are open from your address 127.0.0.2" in message
        assert "TAILRACE_CONNECTIONS_PER_ADDRESS" in message
        assert server.get("/healthz")[0] == 200  # another address
        opened.pop().close()
        while True:  # the server hears of it in a moment
            with from_address(server, "127.0.0.2") as again, contextlib.suppress(AssertionError, OSError):
                assert alive(again)
                break


def test_a_proxy_that_is_trusted_has_as_many_as_there_are(serve: Serve):
    server = serve(server="gunicorn", workers=1, threads=2, connections_per_address=1, trusted_proxies="127.0.0.2")
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(from_address(server, "127.0.0.2")) for _ in range(8)]
        assert all(alive(connection) for connection in opened)


def test_who_has_most_connections_makes_room_for_others_where_there_is_none_left(serve: Serve):
    server = serve(server="gunicorn", workers=1, threads=2, connections=16)
    with contextlib.ExitStack() as stack:
        opened: list[socket.socket] = []
        while len(opened) < 16:  # one by one: the server hears in a moment that the one that started it has gone
            opened.append(stack.enter_context(from_address(server, "127.0.0.2")))
            assert alive(opened[-1])
        with from_address(server, "127.0.0.2") as one_too_many:
            assert "16 connections are open" in told(one_too_many)
        with from_address(server, "127.0.0.3") as other:
            assert alive(other)
            gone, _, _ = select.select(opened, [], [], PATIENCE)
            assert [connection.recv(1) for connection in gone] == [b""]
            assert all(alive(connection) for connection in opened if connection not in gone)


@BOTH
def test_a_slow_reader_is_one_line_in_the_log(serve: Serve, kind: str):
    server = serve(server=kind, workers=1, threads=1, request_seconds=1)
    big = b"".join(b'{"x": {"a": "%s"}, "y": %d}\n' % (b"a" * 1000, n) for n in range(10_000))
    ndjson = {"Content-Type": "application/x-ndjson"}
    assert server.request("POST", "/api/v1/streams/big/observations/", big, ndjson)[0] == 201
    for goes_away in (False, True):
        before = len(server.log.read_text())
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(PATIENCE)
            deaf.connect(("127.0.0.1", server.port))
            deaf.sendall(request(line=b"GET /api/v1/streams/big/observations/?format=ndjson HTTP/1.1"))
            assert deaf.recv(12) == b"HTTP/1.1 200"
            if goes_away:
                deaf.close()
            assert server.get("/api/v1/streams/big/")[1]["head"] == 10_000  # by the only thread that there is
        said = server.log.read_text()[before:]
        assert "Traceback" not in said
        assert len(re.findall("closed the connection before|reads the response too slowly", said)) == 1, said


@BOTH
def test_a_request_without_a_host_is_refused(serve: Serve, kind: str):
    server = serve(server=kind, workers=1, threads=1)
    static = b"/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css"
    for path in (b"/api/v1/streams/", b"/healthz", static):
        with connect(server) as connection:
            connection.sendall(b"GET %s HTTP/1.1\r\nAccept: */*\r\n\r\n" % path)
            answer = until_closed(connection)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"]) == (400, "bad_host")
        assert "no Host header" in error["message"]
    for path, status in ((b"/api/v1/streams/", 400), (static, 400), (b"/healthz", 200)):
        with connect(server) as connection:
            connection.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path)
            assert until_closed(connection).status == status
