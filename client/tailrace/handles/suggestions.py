"""Suggestions for error messages: the name that the user probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from tailrace.errors import Refused, TailraceError
from tailrace.handles.session import Session
from tailrace.handles.stream import Stream
from tailrace.similar_names import did_you_mean, join_names

__all__ = ["suggestion"]


def suggestion(session: Session, error: Refused, path: str, body: Any) -> str:
    """Returns text to add to the message of a refusal: the most similar name, or the existing names. May be empty.

    This sends another request to the server, for the names.
    """
    field = error.field or ""
    parts = [unquote(part) for part in path.split("/")]
    try:
        if error.status == 404 and field in ("model", "stream"):
            plural = f"{field}s"
            asked = body[field] if isinstance(body, dict) and field in body else parts[parts.index(plural) + 1]
            return _nearest(asked, [one["name"] for one in session._list(plural)], plural)
        if error.status == 400 and field.startswith("x") and "." in field and "models" in parts:
            feature, known = field.partition(".")[2], _features(session, parts[parts.index("models") + 1])
            return "" if feature in known else did_you_mean(feature, known)
    except (TailraceError, LookupError, ValueError):
        # A suggestion is optional. Whatever fails here, the caller needs the original error.
        return ""
    return ""


def _features(session: Session, model: str) -> dict[str, str]:
    """Returns the features of the stream that a model learns from."""
    return Stream(session, session.send("GET", session.path("models", model))["stream"]).features


def _nearest(name: str, known: Iterable[str], plural: str) -> str:
    names = list(known)
    return did_you_mean(str(name), names) or f" ({plural}: {join_names(names)})"
