"""The page of an experiment's feeds: streams that its finished runs are posted to, and predictions of the next run."""

import math
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.core.errors import Forbidden, Invalid, TailraceError
from server.core.validation import format_value
from server.dashboard import feature_form
from server.dashboard.rendering import caller_of, page, refused, to
from server.dashboard.views.calculations import check_reach, may, name_of
from server.dashboard.views.experiments import may_change
from server.streams import registry as streams
from server.streams.models import Stream
from server.tracking import experiments, feed_predictions, feeds, reading, summaries
from server.tracking.models import Experiment, Feed, FeedPoint, Run
from server.tracking.models.names import DELETED

PREFIX = "p."
"""Begins the names of params in URLs."""

MOST_LISTED = 20
"""Most runs that are left out which the page lists, of each feed."""

GUESSED_FROM = 50
"""Runs from which the form takes params and metrics."""

MOST_STREAMS = 500
LONGEST_VALUE = 2_000


def feeds_page(request: HttpRequest, number: int) -> HttpResponse:
    """GET: the feeds, and predictions if the URL has params. POST: make a feed."""
    check_reach(request)
    found = experiments.by_number(number)
    if request.method == "POST":
        return _create(request, found)
    shown = _shown(request, found)
    given = {
        name[len(PREFIX) :]: str(value).replace("\x00", "")[:LONGEST_VALUE]
        for name, value in request.GET.items()
        if name.startswith(PREFIX)
    }
    if not given or not shown["may_predict"]:
        return page(request, "feeds", **shown)
    for one in shown["fields"]:
        one["text"] = given.get(one["name"], "")
    wanted = {name: text for name, text in given.items() if text}
    try:
        shown["predictions"] = feed_predictions.predict(found, wanted, may_read=partial(feature_form.may_read, request))
    except TailraceError as exc:
        return page(request, "feeds", exc.status, trouble=exc.message, **shown)
    return page(request, "feeds", **shown)


def _create(request: HttpRequest, found: Experiment) -> HttpResponse:
    caller = caller_of(request)
    try:
        _check_may_change(request, found)
        if not may(request, "learn"):
            raise Forbidden("a feed posts observations for you: this takes the permission to learn")
        metric = request.POST.get("metric", "").strip()
        made = feeds.create(
            found,
            streams.find(request.POST.get("stream", "").strip()),
            _params(request.POST.get("params", "")),
            metric=metric or None,
            value=request.POST.get("value", Feed.LAST) if metric else Feed.LAST,
            backfill="backfill" in request.POST,
            created_by=name_of(request),
            owner_id=None if caller is None else caller.user_id,
        )
    except TailraceError as exc:
        if exc.field is not None and exc.field.startswith("params"):
            exc.field = "params"
        return refused(request, "feeds", exc, **_shown(request, found))
    messages.success(request, f"Finished runs are posted to stream {made.stream_name} from now on.")
    return to(_path(found))


def _params(text: str) -> dict[str, str]:
    """Return params and their kinds, written as ``name = kind``, one a line."""
    kinds: dict[str, str] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            continue
        name, equals, kind = line.rpartition("=")
        if not equals:
            name, kind = line, Feed.NUMBER
        if name.strip() in kinds:
            raise Invalid(f"{format_value(name.strip())} is given twice", field="params")
        kinds[name.strip()] = kind.strip()
    return kinds


def change(request: HttpRequest, number: int) -> HttpResponse:
    """POST: look at earlier runs, or delete a feed."""
    check_reach(request)
    found = experiments.by_number(number)
    _check_may_change(request, found)
    feed, action = feeds.find(found, request.POST.get("stream", "")), request.POST.get("action", "")
    if action == "backfill":
        count = feeds.backfill(feed)
        messages.success(request, f"{count:,} {'run is' if count == 1 else 'runs are'} looked at now.")
    elif action == "delete":
        feeds.delete(feed)
        messages.success(request, f"Runs are posted to {feed.stream_name} no more. What was posted stays.")
    else:
        raise Invalid(f"action is {action[:50]!r}: expected backfill or delete", field="action")
    return to(_path(found))


def _check_may_change(request: HttpRequest, found: Experiment) -> None:
    if not may_change(request, found):
        raise Forbidden(
            f"experiment {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )


def _path(found: Experiment) -> str:
    return f"/experiments/{found.pk}/feeds/"


def _shown(request: HttpRequest, found: Experiment) -> dict[str, Any]:
    listed = feeds.listing(found)
    left_out = {
        row.stream_name: feeds.runs_of(row, FeedPoint.LEFT_OUT, MOST_LISTED, 0)
        for row in Feed.objects.filter(experiment=found)
    }
    for one in listed:
        one["left_out"] = left_out.get(one["stream"], [])
    latest = list(Run.objects.filter(experiment=found).order_by(*reading.DEFAULT_ORDER)[:GUESSED_FROM])
    logged = summaries.read(run.pk for run in latest)
    return {
        "experiment": found,
        "feeds": listed,
        "fields": _fields(listed, [logged[run.pk] for run in latest]),
        "guessed": _guessed([logged[run.pk] for run in latest]),
        "metrics": sorted({key for one in logged.values() for key in one.metrics}),
        "streams": list(Stream.objects.order_by("name").values_list("name", flat=True)[:MOST_STREAMS]),
        "values": Feed.VALUES,
        "may_change": may_change(request, found) and may(request, "learn") and found.lifecycle != DELETED,
        "may_predict": may(request, "predict"),
        "here": _path(found),
    }


def _fields(listed: list[dict[str, Any]], logged: list[summaries.Summary]) -> list[dict[str, Any]]:
    """Return the params of all feeds as fields of a form, with the values of the latest run."""
    names = {name: kind for one in listed for name, kind in one["params"].items()}
    last = next((one.params for one in logged if all(name in one.params for name in names)), {})
    return [
        {"name": name, "parameter": PREFIX + name, "kind": kind, "text": last.get(name, "")}
        for name, kind in names.items()
    ]


def _guessed(logged: list[summaries.Summary]) -> str:
    """Return the params of the latest runs as the form has them: numbers where every run has a number."""
    values: dict[str, list[str]] = {}
    for one in logged:
        for name, value in one.params.items():
            if "\n" not in name and "\r" not in name:
                values.setdefault(name, []).append(value)
    kinds = {name: Feed.NUMBER if all(map(_is_number, texts)) else Feed.CATEGORY for name, texts in values.items()}
    return "\n".join(f"{name} = {kind}" for name, kind in sorted(kinds.items())[: feeds.MOST_PARAMS])


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
