"""A server that is told to stop while it is busy."""

import contextlib
import socket

import pytest

from tests.promises import stopping
from tests.serving import PATIENCE

pytestmark = pytest.mark.one_database


def test_a_stop_under_load_answers_what_is_in_flight_and_lets_nobody_wait_in_vain(server):
    """Half a request is finished and answered after the listening socket was closed; gunicorn answers all that was sent whole."""
    stopping.prepare(server)
    code, posters, acknowledged = stopping.stop_under_load(server)
    assert code in (0, -15)
    is_gunicorn = server.environment["TAILRACE_SERVER"] == "gunicorn"
    stopping.nothing_was_lost(server, posters, acknowledged, answers_all=is_gunicorn)


def test_a_connection_that_has_sent_nothing_is_heard_when_it_does_after_all(serve):
    server = serve(server="gunicorn", workers=1, threads=2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as idle:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as other:
            other.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")  # so the first was let in, too
            assert other.recv(1000).startswith(b"HTTP/1.1 200")
        server.process.terminate()
        with pytest.raises(ConnectionRefusedError):  # from when on the worker, too, knows that it is to stop
            while True:
                with contextlib.suppress(ConnectionResetError):  # it was on its way in as the socket was closed
                    socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE).close()
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = idle.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200") and b"Connection: close" in answer
    assert server.stop() == 0


def test_a_stop_that_comes_while_the_workers_still_load_is_heard(serve):
    server = serve(server="gunicorn", workers=1, threads=2)
    assert server.stop() == 0
    server.log.write_text("")
    server.begin()
    while "Booting worker" not in server.log.read_text():
        assert server.process.poll() is None
    assert server.stop() == 0
    said = server.log.read_text()
    assert "Worker exiting" in said
    assert "Traceback" not in said and "SIGKILL" not in said
