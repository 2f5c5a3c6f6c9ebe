"""What a page's URL says: which stream or model, which range, which choices. Wrong values are refused by name."""

from typing import Any

from django.http import HttpRequest

from server.core.errors import Invalid, NotFound
from server.dashboard.access import only_streams
from server.learning import registry as models
from server.learning.models import Model
from server.streams import registry as streams
from server.streams.models import Stream

MOST_DIGITS = 15


def find_stream(request: HttpRequest, name: str) -> Stream:
    """Return a stream that the person may see.

    Raises
    ------
    NotFound
        If there is none with this name for them.
    """
    if not reaches(request, name):
        raise NotFound(f"no stream named {name!r:.80}", field="stream")
    return streams.find(name)


def find_model(request: HttpRequest, name: str) -> Model:
    """Return a model of a stream that the person may see.

    Raises
    ------
    NotFound
        If there is none with this name for them.
    """
    found = models.find(name)
    if not reaches(request, found.stream.name):
        raise NotFound(f"no model named {name!r:.80}", field="model")
    return found


def reaches(request: HttpRequest, stream: str) -> bool:
    """Whether the person may see a stream. With ``AUTH=open``, everyone may."""
    only = only_streams(request)
    return only is None or stream in only


def whole(request: HttpRequest, name: str, *, least: int = 1, most: int = 10**MOST_DIGITS) -> int | None:
    """Return a whole number from the URL; None if it isn't there.

    Raises
    ------
    Invalid
        If it is none, or out of range.
    """
    text = request.GET.get(name, "").strip().replace(",", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS) or not least <= int(text) <= most:
        raise Invalid(f"{name} is {text[:50]!r}: expected a whole number from {least:,} to {most:,}", field=name)
    return int(text)


def number(request: HttpRequest, name: str, default: float, *, least: float, most: float) -> float:
    """Return a number from the URL, or the default.

    Raises
    ------
    Invalid
        If it is none, or out of range.
    """
    text = request.GET.get(name, "").strip()
    try:
        found = float(text) if text else default
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        raise Invalid(f"{name} is {text[:50]!r}: expected a number from {least:g} to {most:g}", field=name)
    return found


def choice(request: HttpRequest, name: str, choices: Any, default: str) -> str:
    """Return one of the choices from the URL, or the default.

    Raises
    ------
    Invalid
        If it is another.
    """
    text = request.GET.get(name, "") or default
    if text not in choices:
        raise Invalid(f"{name} is {text[:50]!r}: expected one of {', '.join(choices)}", field=name)
    return text
