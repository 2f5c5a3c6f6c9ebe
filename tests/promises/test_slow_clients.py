"""Clients that send slowly, or half, or read nothing: none of them keeps a thread from the others for ever."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import PATIENCE, Server
from tests.wire import connect, request, until_closed

pytestmark = pytest.mark.one_database

LINES = b"".join(b'{"x": {"a": %d}, "y": %d}\n' % (n, n) for n in range(20))
NDJSON = b"Content-Type: application/x-ndjson"
LENGTH = b"Content-Length: %d" % len(LINES)
HEAD = request(NDJSON, LENGTH)
BOTH = pytest.mark.parametrize("kind", ["gunicorn", "granian"])
Serve = Callable[..., Server]


def stored(server: Server) -> int:
    status, data = server.get("/api/v1/streams/s/")
    return 0 if status == 404 else data["head"]


@contextlib.contextmanager
def connections(server: Server, count: int, data: bytes) -> Iterator[list[socket.socket]]:
    """Several clients that have sent as much and no more."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(server)) for _ in range(count)]
        for connection in opened:
            connection.sendall(data)
        yield opened


@BOTH
def test_half_a_head_is_waited_for_so_long_and_no_longer(serve: Serve, kind):
    server = serve(server=kind, workers=1, threads=2, request_seconds=0.5)
    with connections(server, 4, HEAD[:20]) as waiting:
        for connection in waiting:
            answer = until_closed(connection)
            assert answer.status == (408 if kind == "gunicorn" else 0)
        assert server.get("/healthz")[0] == 200


def test_a_head_that_drips_in_is_waited_for_no_longer_than_one_that_stops(serve: Serve):
    server = serve(workers=1, threads=2, request_seconds=0.5)
    stopped = threading.Event()

    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"POST / HTTP/1.1\r\n")
            while not stopped.wait(0.05):
                connection.sendall(b"X-A: b\r\n")

    with connections(server, 2, b"") as dripping:
        threads = [threading.Thread(target=drip, args=(connection,)) for connection in dripping]
        for thread in threads:
            thread.start()
        try:
            assert server.get("/healthz")[0] == 200
            assert [until_closed(connection).status for connection in dripping] == [408, 408]
        finally:
            stopped.set()
            for thread in threads:
                thread.join()


@BOTH
def test_who_says_nothing_at_all_keeps_no_thread(serve: Serve, kind):
    """Each would hold one for five seconds if gunicorn were left alone, which is more than a test waits for."""
    server = serve(server=kind, workers=1, threads=2, request_seconds=60)
    with connections(server, 100, b""):
        assert server.get("/healthz")[0] == 200


def test_half_a_body_is_waited_for_so_long_and_nothing_of_it_taken(serve: Serve):
    server = serve(workers=1, threads=2, request_seconds=0.5)
    half = LINES.index(b"\n", len(LINES) // 2) + 1  # whole lines: what is there could be taken for all
    with connections(server, 4, HEAD + LINES[:half]) as waiting:
        for connection in waiting:
            answer = until_closed(connection)
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (408, "request_timeout")
        assert stored(server) == 0
        assert (
            server.request("POST", "/api/v1/streams/s/observations/", LINES, {"Content-Type": "application/x-ndjson"})[
                0
            ]
            == 201
        )


@BOTH
def test_a_body_that_is_cut_off_is_not_taken_for_a_whole_one(serve: Serve, kind):
    server = serve(server=kind, workers=1, threads=2)
    half = LINES.index(b"\n", len(LINES) // 2) + 1
    with connections(server, 1, HEAD + LINES[:half]) as (connection,):
        connection.shutdown(socket.SHUT_WR)
        answer = until_closed(connection)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "cut_off")
    assert stored(server) == 0


@BOTH
def test_a_body_beyond_the_limit_is_refused_before_it_comes(serve: Serve, kind):
    server = serve(server=kind, workers=1, threads=2, max_body_bytes=2048)
    with connections(server, 1, request(NDJSON, b"Content-Length: 2049")) as (connection,):
        answer = until_closed(connection)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, "too_large")
    with connections(server, 1, request(NDJSON, b"Content-Length: 9999999999999")) as (connection,):
        assert until_closed(connection).status == 413


@BOTH
def test_a_client_that_may_have_died_is_asked_and_one_that_reads_nothing_dropped(serve: Serve, kind, tmp_path):
    server = serve(server=kind, workers=1, threads=1, request_seconds=1)
    assert server.get("/healthz")[0] == 200
    with connect(server) as connection:
        connection.sendall(request(line=b"GET /healthz HTTP/1.1"))
        assert connection.recv(12) == b"HTTP/1.1 200"
        deadline = time.monotonic() + PATIENCE  # granian's first connections are prepared a moment after they came
        while timer_of(server.port, connection.getsockname()[1]) != "02":
            assert time.monotonic() < deadline, "no probe of whether it is alive"
    big = b"".join(b'{"x": {"a": "%s"}, "y": %d}\n' % (b"a" * 1000, n) for n in range(10_000))
    assert (
        server.request("POST", "/api/v1/streams/big/observations/", big, {"Content-Type": "application/x-ndjson"})[0]
        == 201
    )
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(PATIENCE)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(request(line=b"GET /api/v1/streams/big/observations/?limit=10000 HTTP/1.1"))
        assert server.get("/healthz")[0] == 200  # by the only thread that there is


def timer_of(local: int, remote: int) -> str:
    """The kernel's timer for one end of a connection of this machine: 02 is that of keepalive."""
    ends = (f":{local:04X}", f":{remote:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1][-5:], fields[2][-5:]) == ends:
            return fields[5][:2]
    raise AssertionError("no such connection")
