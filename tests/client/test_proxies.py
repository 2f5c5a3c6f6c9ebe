"""Proxies that the environment names, as clusters do for all of their nodes."""

import base64
import contextlib
import socket
import threading

import pytest
from tailrace.errors import Unusable
from tailrace.posting.post import post
from tailrace.spool.spool import Spool
from tailrace.transport.proxies import proxy_for
from tailrace.transport.server import Server

from tests.client.listeners import answer, listening, replies
from tests.client.running import kept, receipt
from tests.client.test_tls import authority, over_tls

__all__ = ["authority"]

pytestmark = pytest.mark.one_database

X = {"x": 8}
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_it_is_asked_for_others(monkeypatch, spool, variable):
    with listening(replies(receipt())) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        posted = post("s", X, 1.0, server=Server("http://tailrace.example:8080/base", "trc_1"), spool=spool)
        request = proxy.requests[0]
    assert posted.delivered
    assert request.startswith(b"POST http://tailrace.example:8080/base/api/v1/streams/s/observations/ HTTP/1.1\r\n")
    assert b"\r\nHost: tailrace.example:8080\r\n" in request
    assert b"Proxy-Authorization" not in request


def test_this_machine_is_never_asked_for_through_it(monkeypatch, spool):
    with listening(replies(receipt())) as listener, listening(replies(receipt())) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert post("s", X, 1.0, server=Server(listener.url), spool=spool).delivered
        assert proxy.requests == []


def test_it_is_shown_its_user_and_the_user_is_not_shown(monkeypatch, spool):
    with listening(replies(answer("407 Proxy Authentication Required", b""))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:p%40ss@"))
        posted = post("s", X, 1.0, server=Server("http://tailrace.example"), spool=spool)
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:p@ss") in proxy.requests[0]
    assert "407" in posted.reason
    assert "ss" not in posted.reason.partition("407")[0]
    assert len(kept(spool)) == 1


def passing_on(to):
    """A proxy that connects whom it is asked for with `to`, whatever the name."""

    def behave(connection, number):
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        other = socket.create_connection(to)
        threading.Thread(target=pump, args=(other, connection), daemon=True).start()
        pump(connection, other)

    def pump(source, target):
        with contextlib.suppress(OSError):  # the other side may be gone already
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    return behave


def test_tls_goes_through_it_unseen(monkeypatch, spool, authority):
    with over_tls(authority.server("tailrace.example")) as listener, listening(passing_on(listener.place)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        server = Server("https://tailrace.example", "trc_1", ca_file=str(authority.file))
        assert post("s", X, 1.0, server=server, spool=spool).delivered
        assert proxy.requests[0].startswith(b"CONNECT tailrace.example:443 HTTP/1.1\r\n")
        assert b"trc_1" not in proxy.requests[0]
        assert b"Bearer trc_1" in listener.requests[0]


def test_a_proxy_that_refuses_to_connect_is_named(monkeypatch, spool):
    with listening(replies(answer("403 Forbidden", b"<p>not allowed"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        posted = post("s", X, 1.0, server=Server("https://tailrace.example"), spool=spool, deadline=1)
    assert f"the proxy 127.0.0.1:{proxy.place[1]} answered 403 Forbidden" in posted.reason
    assert len(kept(spool)) == 1


@pytest.mark.parametrize(
    ("exceptions", "host", "excepted"),
    [
        ("*", "tailrace.example", True),
        ("tailrace.example", "tailrace.example", True),
        ("example", "tailrace.example", True),
        (".example", "tailrace.example", True),
        ("*.example", "tailrace.example", True),
        ("a.example, TAILRACE.example", "tailrace.example", True),
        ("race.example", "tailrace.example", False),
        ("tailrace.example:8080", "tailrace.example", True),
        ("tailrace.example:9090", "tailrace.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "fd12::1", True),
        ("", "tailrace.example", False),
        (",", "tailrace.example", False),
    ],
)
def test_exceptions_are_kept(exceptions, host, excepted):
    environ = {"http_proxy": "http://proxy:3128", "no_proxy": exceptions}
    found = proxy_for("http", host, 8080, environ)
    assert (found is None) is excepted


@pytest.mark.parametrize(
    ("value", "place"),
    [("http://proxy:3128/", ("proxy", 3128)), ("proxy:3128", ("proxy", 3128)), ("http://[fd00::1]", ("fd00::1", 80))],
)
def test_an_address_is_read(value, place):
    found = proxy_for("http", "tailrace.example", 80, {"http_proxy": value})
    assert (found.host, found.port) == place


@pytest.mark.parametrize("value", ["socks5://proxy:1080", "https://proxy", "http://", "http://me:secret@proxy:99999"])
def test_what_is_no_proxy_is_said_to_be(value):
    with pytest.raises(Unusable, match=r"http_proxy=.* is not a valid proxy") as caught:
        proxy_for("http", "tailrace.example", 80, {"http_proxy": value})
    assert "secret" not in str(caught.value)
