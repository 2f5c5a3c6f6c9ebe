"""The page of one calculation: state, graph, attempts over time, results, logs, transitions, and what can be done."""

import functools
import json
import mimetypes
from collections.abc import Callable
from itertools import islice
from typing import Any, BinaryIO
from urllib.parse import quote

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from server.calculations import acting, deleting, files, logs, reading, report_data, reports, states
from server.calculations.models import Calculation, StoredFile
from server.core.errors import Conflict, Forbidden, Invalid, NotFound, TailraceError
from server.core.json_codec import loads
from server.dashboard import chain_pictures, live, parameters
from server.dashboard.log_text import readable
from server.dashboard.rendering import caller_key, caller_of, page, refused, to
from server.dashboard.templatetags.pages import LONGEST_RESULT
from server.dashboard.views.calculations import ACTIONS, OF_MODERATORS, act, check_reach, may, may_change, name_of

TAIL = 64 * 2**10
"""Bytes of a log that its page shows."""

MOST_ROWS = 50
"""Rows of a table on the page. The report has more."""

MOST_COLUMNS = 50
"""Most parameters, and most results, that the table of all steps has."""

MOST_TRANSITIONS = 200

FORMATS = tuple(kind for kind in reports.FORMATS if kind != "json")
"""Formats of a report to download."""

POSSIBLE = {
    "approve": (Calculation.NEEDS_APPROVAL,),
    "reject": (Calculation.NEEDS_APPROVAL,),
    "hold": (states.WAITING, states.RUNNING),
    "release": (states.HELD,),
    "cancel": (Calculation.NEEDS_APPROVAL, states.HELD, states.WAITING, states.RUNNING, Calculation.UNDECIDED),
    "retry": (states.FAILED, states.UNCONVERGED, states.CANCELLED),
}
"""States of a calculation in which each action has something to do."""


def _in_room(view: Callable[[HttpRequest, str], HttpResponseBase]) -> Callable[[HttpRequest, str], HttpResponseBase]:
    """Hold a slot while large results are in memory."""

    @functools.wraps(view)
    def held(request: HttpRequest, number: str) -> HttpResponseBase:
        check_reach(request)
        found = acting.find(number)
        if request.GET.get("format") == "rocrate":
            files.check_together(found)
        with reading.room(found, caller_key(request)):
            return view(request, number)

    return held


@_in_room
def calculation(request: HttpRequest, number: str) -> HttpResponse:
    """GET: the page, or the part of it that is live."""
    shown = _shown(request, acting.find(number))
    same = live.unchanged(request, shown["version"])
    return same or page(request, "calculation_part" if live.is_part(request) else "calculation", **shown)


def change(request: HttpRequest, number: str) -> HttpResponse:
    """POST: do something with it, or change its name, description or priority."""
    check_reach(request)
    found = acting.find(number)
    action, reason = request.POST.get("action", ""), request.POST.get("reason", "")[:1000]
    try:
        if action == "edit":
            _edit(request, found)
        elif action in acting.DECISIONS:
            if not may(request, "approve"):
                raise Forbidden("deciding about a step takes the permission “approve”, which moderators have")
            acting.decide(found.pk, request.POST.get("step", ""), action, name_of(request), reason)
        else:
            act(request, number, action, reason)
    except TailraceError as exc:
        if isinstance(exc, Forbidden):
            raise
        return refused(request, "calculation", exc, **_shown(request, acting.find(number)))
    messages.success(
        request, "Saved." if action == "edit" else f"{ACTIONS[action][0] if action in ACTIONS else 'Decided'}."
    )
    return to(f"/calculations/{found.pk}/")


def delete(request: HttpRequest, number: str) -> HttpResponse:
    """POST: delete it, after its name was typed."""
    check_reach(request)
    found = acting.find(number)
    if not _may_delete(request, found):
        raise Forbidden(
            f"calculation {found.pk} can be deleted by its owner ({found.created_by or 'unknown'}) and by admins"
        )
    try:
        deleting.delete(found.pk, name_of(request), request.POST.get("confirm", "").strip())
    except (Invalid, Conflict) as exc:
        exc.field = "confirm"
        return refused(request, "calculation", exc, **_shown(request, acting.find(number)))
    messages.success(request, f"Calculation {found.pk} is deleted.")
    return to("/calculations/")


def _may_delete(request: HttpRequest, found: Calculation) -> bool:
    """Whether the person is its owner or an admin."""
    caller = caller_of(request)
    if caller is None or may(request, "manage_clusters"):
        return True
    return "change_own" in caller.permissions and caller.user_id == found.owner_id


def _edit(request: HttpRequest, found: Calculation) -> None:
    fields: dict[str, Any] = {}
    if may_change(request, found):
        fields["name"] = request.POST.get("name", "").strip()
        fields["description"] = request.POST.get("description", "").replace("\r\n", "\n")
        if not 0 < len(fields["name"]) <= 200 or "\x00" in fields["name"] + fields["description"]:
            raise Invalid("name: expected 1 to 200 characters", field="name")
        if len(fields["description"]) > 10_000:
            raise Invalid("description: expected at most 10,000 characters", field="description")
    priority = request.POST.get("priority")
    if priority is not None and may(request, "approve"):
        if not (priority.isascii() and priority.isdigit() and len(priority) < 4 and int(priority) <= 100):
            raise Invalid(f"priority is {priority[:20]!r}: expected a whole number from 0 to 100", field="priority")
        fields["priority"] = int(priority)
    if not fields:
        raise Forbidden(
            f"calculation {found.pk} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    acting.change_fields(found.pk, fields)


def _shown(request: HttpRequest, found: Calculation) -> dict[str, Any]:
    one = reading.described(found)
    one["tone"] = chain_pictures.tone(one["state"])
    for step in one["chain"]:
        step["tone"] = chain_pictures.tone(step["state"])
        step["anchor"] = quote(step["name"])
        step["settings"] = [
            (name, json.dumps(value)) for name, value in (step["parameters"] | step["corrections"]).items()
        ]
        step["tables"], step["pictures"] = _tables(step), _pictures(step)
        step["undecided"] = step["state"] in states.SUBMITTED and step["contact"] != "ok"
    one["transitions"] = list(reversed(one["transitions"]))[:MOST_TRANSITIONS]
    changes = may_change(request, found)
    allowed = [
        (name, ACTIONS[name][0])
        for name, in_states in POSSIBLE.items()
        if one["state"] in in_states and (may(request, "approve") if name in OF_MODERATORS else changes)
    ]
    # The timeline of what runs moves with time, so its version is that of its data.
    return {
        "one": one,
        "graph": chain_pictures.graph(one["chain"]),
        "timeline": chain_pictures.timeline(one["chain"]),
        "load": chain_pictures.load(one["chain"], found.cluster),
        "summary": _summary(one["chain"]),
        "allowed": allowed,
        "changes": changes,
        "deletes": bool(one["ended_at"]) and _may_delete(request, found),
        "prioritizes": may(request, "approve"),
        "decides": may(request, "approve"),
        "may_create": may(request, "create"),
        "has_results": any(step["result"] for step in one["chain"]),
        "version": live.version(one),
    }


def _summary(chain: list[dict[str, Any]]) -> dict[str, Any]:
    """Return values of all steps as one table: what varies of the parameters, and the results."""
    done = [step for step in chain if step["result"] and step["result"]["state"] == states.DONE]
    if len(done) < 2:
        return {}
    found = [(name, value["value"]) for step in done for name, value in step["result"]["values"].items()]
    long = {name for name, value in found if isinstance(value, str) and len(value) > LONGEST_RESULT}
    names = [name for name in dict.fromkeys(name for name, _ in found) if name not in long][:MOST_COLUMNS]
    settings = [step["parameters"] | step["corrections"] for step in chain]
    known = islice(dict.fromkeys(name for one in settings for name in one), 4 * MOST_COLUMNS)
    varied = [name for name in known if len({json.dumps(one.get(name)) for one in settings}) > 1][:MOST_COLUMNS]
    units = {name: value.get("unit") for step in done for name, value in step["result"]["values"].items()}
    rows = []
    for step, one in zip(chain, settings, strict=True):
        values = (step["result"] or {}).get("values", {})
        rows.append(
            {
                "name": step["name"], "anchor": step["anchor"], "state": step["state"], "tone": step["tone"],
                "varied": [one.get(name) for name in varied],
                "values": [values[name]["value"] if name in values else None for name in names],
            }
        )  # fmt: skip
    return {
        "varied": varied, "names": [(name, units.get(name)) for name in names], "rows": rows,
        "last": done[-1]["anchor"], "pictures": done[-1]["pictures"],
    }  # fmt: skip


def _tables(step: dict[str, Any]) -> list[dict[str, Any]]:
    result = step["result"]
    if result is None:
        return []
    found = list(result["tables"].items())
    for analysis in result["analyses"]:
        found += [(f"{analysis['name']}: {name}", table) for name, table in (analysis.get("tables") or {}).items()]
    return [
        {"name": name, "columns": list(table["columns"].items()), "rows": table["rows"][:MOST_ROWS],
         "left_out": max(0, len(table["rows"]) - MOST_ROWS)}
        for name, table in found
    ]  # fmt: skip


def _pictures(step: dict[str, Any]) -> list[str]:
    stored = step["result"]["files"] if step["result"] else ()
    return [
        one["name"]
        for one in stored
        if one["stored"] and one["name"].rpartition(".")[2].lower() in report_data.PICTURES
    ]


def log(request: HttpRequest, number: str, step: str) -> HttpResponse:
    """GET: the end of the log of a step's attempt, or the part from an offset on."""
    check_reach(request)
    found = acting.find_step(acting.find(number), step)
    fence = parameters.whole(request, "attempt")
    attempt = logs.attempt_of(found, fence)
    if attempt is None:
        raise NotFound(f"step {step} of calculation {number} has no attempt{'' if fence is None else f' {fence}'} yet")
    offset = parameters.whole(request, "offset", least=0)
    part = logs.read(attempt, max(0, attempt.log_next - TAIL) if offset is None else offset, TAIL)
    version = live.version(part, attempt.state)
    shown: dict[str, Any] = {
        "number": number,
        "step": found,
        "attempt": attempt,
        "part": part,
        "is_tail": offset is None,
        "version": version,
    }
    head, tail = part["dropped"] or (0, 0)
    # Before the end of a long log comes its beginning.
    shown["earlier"] = max(0, (head if part["offset"] == tail else part["offset"]) - TAIL)
    part["text"] = readable(part["text"])
    same = live.unchanged(request, version)
    return same or page(request, "calculation_log_part" if live.is_part(request) else "calculation_log", **shown)


def file(request: HttpRequest, number: str, step: str, name: str) -> FileResponse:
    """GET: a file of the result that counts, as a download; pictures are shown in the page."""
    check_reach(request)
    found = acting.find_step(acting.find(number), step)
    rows = StoredFile.objects.filter(result=found.result_id)
    stored = rows.filter(name=name).first() if "\x00" not in name and found.result_id is not None else None
    if stored is None:
        raise NotFound(f"step {step} of calculation {number} has no file {name[:200]!r}")
    return download(
        files.open_file(stored), mimetypes.guess_type(stored.name)[0] or "application/octet-stream", stored.name
    )


@_in_room
def report(request: HttpRequest, number: str) -> FileResponse:
    """GET: the report as a page of its own, as a PDF or as an RO-Crate, to download."""
    check_reach(request)
    found = acting.find(number)
    return download(*reports.download(found, parameters.choice(request, "format", FORMATS, "html")))


def download(content: BinaryIO, kind: str, name: str) -> FileResponse:
    """Return a download, which no browser runs on this server's origin."""
    return FileResponse(content, as_attachment=True, filename=name, content_type=kind)


def asked_of(number: str) -> dict[str, Any]:
    """Return what was asked for with a calculation, to ask for it again with changes."""
    found: dict[str, Any] = loads(acting.find(number).asked)
    return found
