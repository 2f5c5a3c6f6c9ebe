"""Responses of gunicorn's worker to requests that don't reach the application: malformed, late, or beyond connection limits."""

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
"""Largest size of a request's headers, bytes."""

_FAILED = (
    "500 Internal Server Error",
    "internal",
    "an unexpected error occurred; the log of the server has the reason",
)
_REFUSALS: dict[type, tuple[str, str, str]] = {
    LimitRequestLine: ("414 URI Too Long", "too_large", "the URL is too long: the most allowed is 4094 characters"),
    LimitRequestHeaders: (
        "431 Request Header Fields Too Large", "too_large",
        f"the headers are too large: the most allowed is 100 fields of 8190 characters each, {MOST_HEAD} bytes in total",
    ),
    ExpectationFailed: ("417 Expectation Failed", "bad_request", "the only supported expectation is 100-continue"),
    ParseException: (
        "400 Bad Request", "bad_request",
        "the request is malformed or ambiguous (two lengths, a header name with '_', a folded line)",
    ),
    TimeoutError: (
        "408 Request Timeout", "request_timeout", "the request was not complete within TAILRACE_REQUEST_SECONDS"
    ),
    InvalidResponseHeader: _FAILED,
    InvalidResponseHeaderName: _FAILED,
    BaseException: _FAILED,
}  # fmt: skip


def is_malformed(exc: BaseException) -> bool:
    """Whether the error is the client's."""
    return not _refusal(exc)[0].startswith("5")


def refusal(exc: BaseException) -> bytes:
    """Return the complete response to a request that failed with this error. The connection ends after it."""
    return _answer(*_refusal(exc))


def too_many(message: str) -> bytes:
    """Return the complete response to a connection beyond the limits, before anything is read from it."""
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
