"""The feed of what happens: observations, labels, predictions, retractions, quarantines and new models."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from server.core.errors import Invalid, NotFound
from server.core.validation import format_value
from server.dashboard import access, links, live
from server.dashboard.rendering import page
from server.learning import activity, overview
from server.learning.event_log import Position
from server.streams.models import Stream

KINDS = {
    "": "everything",
    activity.LEARN: "learn",
    activity.LABEL: "label",
    activity.PREDICT: "predict",
    activity.RETRACT: "retract",
    activity.QUARANTINE: "quarantine",
    activity.MODEL: "new model",
}
MOST_STREAMS = 1000
"""Largest number of streams in the list to choose from."""


def feed(request: HttpRequest) -> HttpResponse:
    """GET: the latest entries; with ``after``, those after a position, from old to new.

    Raises
    ------
    NotFound
        If there is no such stream, or the person may not see it.
    Invalid
        If the kind or the position is not one.
    """
    stream, kind, after = (request.GET.get(name, "") for name in ("stream", "kind", "after"))
    if kind not in KINDS:
        raise Invalid(f"kind is {format_value(kind)}: expected one of {', '.join(filter(None, KINDS))}", field="kind")
    only = access.only_streams(request)
    known = Stream.objects.all() if only is None else Stream.objects.filter(name__in=only)
    names: dict[int, str] = dict(known.values_list("pk", "name"))
    wanted = {pk: name for pk, name in names.items() if name == stream} if stream else names
    if stream and not wanted:
        raise NotFound(f"no stream named {format_value(stream)}", field="stream")
    found = activity.read(
        wanted,
        is_all=only is None and not stream,
        kinds=activity.KINDS if not kind else (kind,),
        after=_position(after) if after else None,
    )
    entries = found.entries if after else found.entries[::-1]
    under_way = [row for row in overview.rows(only) if row.share is not None or overview.DRIFT in row.states]
    context: dict[str, Any] = {
        "lines": [_line(entry, stream, kind) for entry in entries],
        "stream": stream,
        "kind": kind,
        "after": after,
        "kinds": KINDS,
        "query": _query(stream, kind, after),
        "latest": _query(stream, kind, ""),
        "onward": _query(stream, kind, found.after.id()),
        "is_last": found.is_last,
        "under_way": under_way[: activity.MOST],
        "drifting": {row.model_id for row in under_way if overview.DRIFT in row.states},
    }
    context["version"] = live.version(context)
    same = live.unchanged(request, context["version"])
    if same is not None:
        return same
    if live.is_part(request):
        return page(request, "activity_part", **context)
    return page(request, "activity", **context, streams=sorted(names.values())[:MOST_STREAMS])


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except Invalid:
        raise Invalid(
            f"after is {format_value(text)}: expected a position, as the links of this page have it, or 0 for the beginning",
            field="after",
        ) from None


def _query(stream: str, kind: str, after: str) -> str:
    given = {"stream": stream, "kind": kind, "after": after}
    return f"?{urlencode({name: value for name, value in given.items() if value})}"


def _line(entry: activity.Entry, stream: str, kind: str) -> dict[str, Any]:
    here = "" if entry.position is None else _query(stream, kind, entry.position.id())
    return {
        "entry": entry,
        "here": here,
        "stream": links.stream(entry.stream),
        "model": links.model(entry.model),
        "count": None if entry.first is None or entry.last is None else entry.last - entry.first + 1,
        "words": KINDS[entry.kind],
        "is_bad": entry.kind in (activity.RETRACT, activity.QUARANTINE),
        "predictions": [(name, _short(value)) for name, value in entry.predictions.items()],
        "y": _short(entry.y),
    }


def _short(value: Any) -> Any:
    """Return a number as it is, and anything else as a short text."""
    if isinstance(value, bool) or value is None or not isinstance(value, (int, float)):
        return format_value(value) if not isinstance(value, str) else value[:80]
    return value
