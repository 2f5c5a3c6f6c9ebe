"""JSON bodies of requests and responses, read and written by orjson. Errors say where the JSON is invalid."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from server.api import large_bodies
from server.core.errors import Invalid, TailraceError, TooLarge
from server.core.json_codec import dumps

MOST_MEMORY = 256 * 2**20
"""Approximate limit on the memory for the values of one body, bytes. Parsing them takes half a second and blocks all threads."""

PART = 2**18
"""Largest part of a body that is read in parts, bytes."""
DEEPEST = 250
"""Levels of lists and objects that the codec writes."""

SIZES = {b"{": 200, b"[": 80, b",": 40, b":": 60, b'"': 40}
"""Approximate bytes of CPython's objects for each of these characters: objects, lists, values, fields, and quotes."""


class TooSlow(TailraceError):
    """The request took too long to arrive."""

    status = 408
    code = "request_timeout"


def body(request: HttpRequest) -> bytes:
    """Return the request's body.

    Raises
    ------
    TooLarge
        If it exceeds the limit.
    Unavailable
        If it is large, and too many other large bodies are in memory or arriving.
    TooSlow
        If it took too long to arrive.
    Invalid
        If its end is missing. The received part may look complete.
    """
    from django.core.exceptions import RequestDataTooBig

    length = int(request.META.get("CONTENT_LENGTH") or 0)
    try:
        with _reading(), large_bodies.room_to_read(0 if hasattr(request, "_body") else length):
            data = request.body
    except RequestDataTooBig as exc:
        raise too_large(request) from exc
    if len(data) < length:
        raise _cut_off()
    if length > large_bodies.LARGE:  # a body counts once it has arrived; only a very large one counts before
        large_bodies.hold(length)
    return data


def chunks(request: HttpRequest) -> Iterator[bytes]:
    """Yield the parts of the request's body as they arrive, so that it is never in memory as a whole.

    Raises
    ------
    TooSlow, Invalid
        As :func:`body`.
    """
    left = int(request.META.get("CONTENT_LENGTH") or 0)
    while left > 0:
        with _reading():
            part = request.read(min(left, PART))
        if not part:
            raise _cut_off()
        left -= len(part)
        yield part


@contextmanager
def _reading() -> Iterator[None]:
    """Translate the errors of a body that doesn't arrive."""
    from django.http.request import UnreadablePostError

    try:
        yield
    except UnreadablePostError as exc:
        if _was_timeout(exc):
            raise TooSlow("the body did not arrive within TAILRACE_REQUEST_SECONDS: send less in one request") from exc
        raise _cut_off() from exc


def too_large(request: HttpRequest) -> TooLarge:
    """Return the error for a body that is larger than the limit."""
    from django.conf import settings

    return TooLarge(
        f"the body has {request.META.get('CONTENT_LENGTH', 'too many')} bytes: the most allowed is "
        f"{settings.TAILRACE.max_body_bytes} (TAILRACE_MAX_BODY_BYTES)"
    )


def _cut_off() -> Invalid:
    return Invalid("the body is shorter than its Content-Length: nothing was stored", code="cut_off")


def _was_timeout(exc: BaseException | None) -> bool:
    while exc is not None and not isinstance(exc, TimeoutError):
        exc = exc.__cause__
    return exc is not None


def check_values(data: bytes) -> None:
    """Check the size of JSON, and the memory that its values will take: an empty object takes thirty times its text.

    Raises
    ------
    TooLarge
        If one exceeds its limit.
    Unavailable
        If other large requests leave too little memory.
    """
    if len(data) <= large_bodies.LARGE:
        return
    from django.conf import settings

    most: int = settings.TAILRACE.max_json_bytes
    if len(data) > most:
        raise TooLarge(
            f"the body has {len(data)} bytes of JSON: the most allowed is {most} (TAILRACE_MAX_JSON_BYTES); send less in one "
            "request"
        )
    memory = sum(size * data.count(sign) for sign, size in SIZES.items())
    if memory > MOST_MEMORY:
        raise TooLarge(
            f"the body's values would take about {memory // 2**20} MB of memory: the most allowed is {MOST_MEMORY // 2**20} MB; "
            "send less in one request"
        )
    large_bodies.hold(memory)


def parse(data: bytes) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    Invalid
        If it isn't JSON. The message says where.
    TooLarge
        If its values would take too much memory.
    """
    check_values(data)
    try:
        if len(data) <= large_bodies.LARGE:
            return orjson.loads(data)
        with large_bodies.reading:
            return orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        if not data.strip():
            raise Invalid("the body is empty: expected JSON", code="not_json") from exc
        raise Invalid(f"the body is not JSON: {exc.args[0]}", code="not_json") from exc


def json_object(request: HttpRequest) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    payload = parse(body(request))
    if type(payload) is not dict:
        raise Invalid(f"the body is a JSON {_kind(payload)}: expected an object", code="not_an_object")
    return payload


def storable_object(request: HttpRequest) -> dict[str, Any]:
    """Return the body, which must be a JSON object that can be written again: the codec writes fewer levels than it reads.

    Raises
    ------
    Invalid
        If it is nested too deep.
    """
    payload = json_object(request)
    data = request.body
    if data.count(b"[") + data.count(b"{") > DEEPEST:
        try:
            orjson.dumps(payload)
        except orjson.JSONEncodeError as exc:
            raise Invalid(f"the body is nested deeper than {DEEPEST} levels", code="too_deep") from exc
    return payload


def only(payload: dict[str, Any], *known: str, required: tuple[str, ...] = ()) -> None:
    """Check that an object has all required fields and no unknown ones.

    Raises
    ------
    Invalid
        If it doesn't. The message names the field and the known fields.
    """
    for name in required:
        if name not in payload:
            raise Invalid(f"{name} is missing: expected an object with {', '.join(known)}", field=name, code="missing")
    for name in payload:
        if name not in known:
            raise Invalid(f"unknown field {name!r}: expected {', '.join(known)}", field=name, code="unknown_field")


def answer(data: Any, status: int = 200) -> HttpResponse:
    """Return a JSON response."""
    return HttpResponse(dumps(data), status=status, content_type="application/json")


def _kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


class JSONRenderer(BaseRenderer):
    """The same codec for Django REST Framework."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else dumps(data)


class JSONParser(BaseParser):
    """The same codec for Django REST Framework."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return parse(stream.read())
        except TailraceError:
            raise
