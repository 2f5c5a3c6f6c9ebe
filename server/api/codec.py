"""JSON in and out of HTTP: orjson, whose refusals become messages that say where."""

from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from server.api import large_bodies
from server.streams.codec import dumps
from server.streams.errors import Invalid, TailraceError, TooLarge

MOST_MEMORY = 256 * 2**20
"""Bytes that the values of one body may take, about. Reading so many takes half a second, in which no other thread works."""

SIZES = {b"{": 200, b"[": 80, b",": 40, b":": 60, b'"': 40}
"""Bytes of CPython's objects for each such sign, about: objects, lists, values, fields, and both ends of a text."""


class TooSlow(TailraceError):
    """The request didn't come in within its time."""

    status = 408
    code = "request_timeout"


def body(request: HttpRequest) -> bytes:
    """The request's body, within the limit.

    Raises
    ------
    TooLarge
        Naming the limit.
    Unavailable
        If it is large, and others are already, or come in.
    TooSlow
        If it didn't come in time.
    Invalid
        If its end is missing: what came may look whole.
    """
    from django.core.exceptions import RequestDataTooBig
    from django.http.request import UnreadablePostError

    length = int(request.META.get("CONTENT_LENGTH") or 0)
    try:
        with large_bodies.room_to_read(0 if hasattr(request, "_body") else length):
            data = request.body
    except RequestDataTooBig as exc:
        raise too_large(request) from exc
    except UnreadablePostError as exc:
        if _was_timeout(exc):
            raise TooSlow("the body didn't come within TAILRACE_REQUEST_SECONDS: send less at a time") from exc
        raise _cut_off() from exc
    if len(data) < length:
        raise _cut_off()
    if length > large_bodies.LARGE:  # what is on its way keeps no room from others, but for what is very large
        large_bodies.hold(length)
    return data


def too_large(request: HttpRequest) -> TooLarge:
    """That the body is larger than any may be."""
    from django.conf import settings

    return TooLarge(
        f"the body has {request.META.get('CONTENT_LENGTH', 'too many')} bytes: the most allowed is "
        f"{settings.TAILRACE.max_body_bytes} (TAILRACE_MAX_BODY_BYTES)"
    )


def _cut_off() -> Invalid:
    return Invalid("the body ended before its announced length: nothing of it was taken", code="cut_off")


def _was_timeout(exc: BaseException | None) -> bool:
    while exc is not None and not isinstance(exc, TimeoutError):
        exc = exc.__cause__
    return exc is not None


def check_values(data: bytes) -> None:
    """Refuse JSON that is too large, or whose values would take far more memory than its text does.

    An empty object takes thirty times as much.

    Raises
    ------
    TooLarge
        Then.
    Unavailable
        If there is no room beside those of others.
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
    """JSON of any kind.

    Raises
    ------
    Invalid
        Saying where it stops being JSON.
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
    """The body as a JSON object."""
    payload = parse(body(request))
    if type(payload) is not dict:
        raise Invalid(f"the body is a JSON {_kind(payload)}: expected an object", code="not_an_object")
    return payload


def only(payload: dict[str, Any], *known: str, required: tuple[str, ...] = ()) -> None:
    """Refuse fields that aren't known, and objects that lack a required one.

    Raises
    ------
    Invalid
        Naming the field and the fields that there are.
    """
    for name in required:
        if name not in payload:
            raise Invalid(f"{name} is missing: expected an object with {', '.join(known)}", field=name, code="missing")
    for name in payload:
        if name not in known:
            raise Invalid(f"unknown field {name!r}: expected {', '.join(known)}", field=name, code="unknown_field")


def answer(data: Any, status: int = 200) -> HttpResponse:
    """A JSON response."""
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
