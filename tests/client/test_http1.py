"""Answers of HTTP as servers send them, well and badly, over real sockets."""

import socket

import pytest
from tailrace.transport.http1 import BrokenResponse, read_response, send_request

pytestmark = pytest.mark.one_database


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def answered(pair, data, end=True):
    ours, theirs = pair
    theirs.sendall(data)
    if end:
        theirs.shutdown(socket.SHUT_WR)
    return read_response(ours, lambda: 5.0)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello, and more", b"hello"),
        (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: 1\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)  # fmt: skip
def test_a_body_is_read_whole_or_by_pieces(data, body):
    for size in (1, 3, 1000, -1):
        ours, theirs = socket.socketpair()
        with ours, theirs, answered((ours, theirs), data) as response:
            assert response.status in (200, 204)
            found = b""
            while piece := response.read(size):
                found += piece
                assert size < 0 or len(piece) <= size
            assert found == body


def test_an_answer_need_not_end_with_the_connection(pair):
    with answered(pair, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", end=False) as response:
        assert response.read() == b"ok"


def test_headers_are_found_by_their_names_in_lower_case(pair):
    data = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nX: a\r\nx:b\r\n\r\n"
    with answered(pair, data) as response:
        assert (response.status, response.reason) == (503, "Service Unavailable")
        assert response.headers == {"retry-after": "7", "x": "a, b"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x16\x03\x01\x00\xa5\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"x" * 200_000,
    ],
)
def test_what_is_no_whole_answer_is_said_to_be(pair, data):
    with pytest.raises(BrokenResponse), answered(pair, data) as response:
        response.read()


def test_a_line_break_in_a_header_breaks_nothing_apart(pair):
    with pytest.raises(ValueError, match="line break"):
        send_request(pair[0], "GET", "/", {"X": "a\r\nY: b"}, None)
