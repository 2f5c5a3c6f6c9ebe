"""The page of a stream's settings: description, expected interval, retention, deletion."""

from functools import partial
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.cells import retention as cells_retention
from server.cells.deletion import Cells
from server.core.errors import Conflict, Invalid, TailraceError
from server.core.validation import format_value
from server.dashboard import access, parameters
from server.dashboard.formatting import number
from server.dashboard.rendering import page, refused, to
from server.learning.background import retention
from server.learning.concurrency.time_limit import TimeLimit
from server.learning.deletion import Models
from server.streams import deletion, registry, silence
from server.streams.models import Batch, Retraction, Stream

MOST_COMMITS = 20_000
"""Most commits of a log that a page thins out or drops: it takes a few seconds. More is the operator's."""

FATES = {"drop": "drop all of them", "thin": "keep every Nth"}


def settings(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page."""
    found = parameters.find_stream(request, name)
    return page(request, "stream_settings", **_shown(request, found))


def change(request: HttpRequest, name: str) -> HttpResponse:
    """POST: change the description and the expected interval."""
    found = parameters.find_stream(request, name)
    access.check_may_change(request, found)
    try:
        every, grace = _whole(request, "every"), _whole(request, "grace")
        if every is None and grace is not None:
            raise Invalid("every is empty: grace goes with it", field="every")
        expected = None if every is None else {"every": every, "grace": grace or 0}
        description = request.POST.get("description", "").replace("\r\n", "\n")
        registry.change(found, {"description": description, "expected": expected})
    except Invalid as exc:
        exc.field = (exc.field or "").removeprefix("expected.")
        return refused(request, "stream_settings", exc, **_shown(request, parameters.find_stream(request, name)))
    messages.success(request, "The settings are changed.")
    return to(_address(found))


def retain(request: HttpRequest, name: str) -> HttpResponse:
    """POST: thin out or drop the first part of the log."""
    found = parameters.find_stream(request, name)
    access.check_may_change(request, found)
    try:
        upto, every = _wanted(request)
        _check_confirmed(request, found, "confirm_retention")
        Models(partial(access.check_may_change, request)).check(found)
        cells_retention.check(found, upto)
        plan = retention.plan(found, upto, every)
        commits = Batch.objects.filter(stream=found, last__lte=upto).count()
        if commits > MOST_COMMITS:
            raise Conflict(
                f"the log up to observation {upto:,} has {commits:,} commits, and a page removes at most {MOST_COMMITS:,}: ask "
                f"the operator to run `{_command(found, upto, every)}`"
            )
        changed = retention.carry_out(plan, limit=TimeLimit(), otherwise=f"run `{_command(found, upto, every)}`")
    except (Invalid, Conflict) as exc:
        exc.field = {"before": "upto"}.get(exc.field or "", exc.field)
        return refused(request, "stream_settings", exc, **_shown(request, parameters.find_stream(request, name)))
    messages.success(
        request,
        f"Observations 1 to {number(upto)} are {'dropped' if every is None else f'thinned out to every {every}th'}: "
        f"{number(changed)} rows of the log were changed or deleted.",
    )
    return to(_address(found))


def delete(request: HttpRequest, name: str) -> HttpResponse:
    """POST: delete the stream with everything that depends on it."""
    found = parameters.find_stream(request, name)
    access.check_may_change(request, found)
    try:
        _check_confirmed(request, found, "confirm_deletion")
        check = partial(access.check_may_change, request)
        deletion.delete(found, (Models(check), Cells(check)), with_log=True)
    except (Invalid, Conflict) as exc:
        exc.field = {"confirm": "confirm_deletion"}.get(exc.field or "", exc.field)
        return refused(request, "stream_settings", exc, **_shown(request, parameters.find_stream(request, name)))
    messages.success(request, f"Stream {found.name} is deleted, with its log and its models.")
    return to("/")


def _address(found: Stream) -> str:
    return f"/streams/{quote(found.name)}/settings/"


def _command(found: Stream, upto: int, every: int | None) -> str:
    return f"manage.py retain {found.name} --before {upto + 1} {'--drop' if every is None else f'--thin {every}'} --yes"


def _whole(request: HttpRequest, name: str) -> int | None:
    text = request.POST.get(name, "").strip().replace(",", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= parameters.MOST_DIGITS):
        raise Invalid(f"{name} is {format_value(text)}: expected a whole number", field=name)
    return int(text)


def _wanted(request: HttpRequest) -> tuple[int, int | None]:
    upto = _whole(request, "upto")
    if upto is None:
        raise Invalid("upto is empty: expected the last observation of the part to remove", field="upto")
    fate = request.POST.get("fate", "")
    if fate not in FATES:
        raise Invalid(f"fate is {format_value(fate)}: expected one of {', '.join(FATES)}", field="fate")
    if fate == "drop":
        return upto, None
    every = _whole(request, "thin")
    if every is None:
        raise Invalid("thin is empty: expected a number such as 10, to keep every 10th observation", field="thin")
    return upto, every


def _check_confirmed(request: HttpRequest, found: Stream, field: str) -> None:
    if request.POST.get(field, "").strip() != found.name:
        raise Invalid(f"this can't be undone: type the stream's name, {found.name}, to confirm it", field=field)


def _shown(request: HttpRequest, found: Stream) -> dict[str, Any]:
    try:
        Models(partial(access.check_may_change, request)).check(found)
        others = ""
    except TailraceError as exc:
        others = exc.message
    return {
        "stream": found,
        "may_change": access.may_change(request, found),
        "others": others,
        "retracted": Retraction.objects.filter(stream=found).count(),
        "activity": silence.activity([found]).get(found.pk),
        "fates": FATES.items(),
        "least": silence.SHORTEST,
    }
