"""Answers of gunicorn's worker to what never gets as far as the application: requests that can't be read, that come too late,
connections beyond the bounds.
"""

import json

from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

MOST_HEAD = 2**15
"""Bytes of a request's head."""

_FAILED = ("500 Internal Server Error", "internal", "the server failed; its log says why")
_REFUSALS: dict[type, tuple[str, str, str]] = {
    LimitRequestLine: ("414 URI Too Long", "too_large", "the address is too long: the most is 4094 characters"),
    LimitRequestHeaders: (
        "431 Request Header Fields Too Large", "too_large",
        f"the headers are too large: the most is 100 fields, each of 8190 characters, {MOST_HEAD} bytes in all",
    ),
    ExpectationFailed: ("417 Expectation Failed", "bad_request", "nothing can be expected but 100-continue"),
    ParseException: (
        "400 Bad Request", "bad_request",
        "the request can't be read, or can be read in two ways (two lengths, a header name with '_', a folded line)",
    ),
    TimeoutError: (
        "408 Request Timeout", "request_timeout", "the request didn't come within TAILRACE_REQUEST_SECONDS"
    ),
    InvalidResponseHeader: _FAILED,
    InvalidResponseHeaderName: _FAILED,
    BaseException: _FAILED,
}  # fmt: skip


def is_malformed(exc: BaseException) -> bool:
    """Whether it was the client that went wrong."""
    return not _refusal(exc)[0].startswith("5")


def refusal(exc: BaseException) -> bytes:
    """A whole answer to a request that failed so, after which the connection ends."""
    return _answer(*_refusal(exc))


def too_many(message: str) -> bytes:
    """A whole answer to a connection beyond the bounds, before anything was read from it."""
    return _answer("503 Service Unavailable", "too_many_connections", message, "Retry-After: 1\r\n")


def _answer(status: str, code: str, message: str, more: str = "") -> bytes:
    body = json.dumps({"message": message, "error": {"code": code, "message": message, "request_id": "-"}}).encode()
    head = (
        f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _refusal(exc: BaseException) -> tuple[str, str, str]:
    return next(_REFUSALS[kind] for kind in type(exc).__mro__ if kind in _REFUSALS)
