"""The list of experiments, and the runs of one as a table with chosen columns."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.core.db.query_limit import QueryTooSlow
from server.core.errors import Forbidden, Invalid, TailraceError, TooMany, Unavailable
from server.dashboard import live, parameters, run_columns
from server.dashboard.rendering import caller_key, caller_of, page, refused, to
from server.dashboard.views.calculations import check_reach, may, name_of
from server.services.models import Service
from server.tracking import experiments, reading, summaries
from server.tracking.filters import limits, queries
from server.tracking.models import Experiment, Feed, RegisteredModel, Run
from server.tracking.models.names import ACTIVE, DELETED
from server.tracking.searches import RUNS

HERE = "/experiments/"
PAGE = 100
LONGEST_TEXT = 2000
LIFECYCLES = {"": ACTIVE, "deleted": DELETED}
DIRECTIONS = ("asc", "desc")


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the experiments. POST: create one."""
    check_reach(request)
    if request.method != "POST":
        return page(request, "experiments", **_listed(request))
    caller = caller_of(request)
    try:
        made = experiments.create(
            request.POST.get("name", "").strip(),
            description=request.POST.get("description", "").replace("\r\n", "\n"),
            created_by=name_of(request),
            owner_id=None if caller is None else caller.user_id,
        )
    except TailraceError as exc:
        return refused(request, "experiments", exc, **_listed(request))
    messages.success(request, f"Experiment {made.name} is created.")
    return to(f"{HERE}{made.pk}/")


def _listed(request: HttpRequest) -> dict[str, Any]:
    which = parameters.choice(request, "which", LIFECYCLES, "")
    text = request.GET.get("text", "").replace("\x00", "").strip()[:LONGEST_TEXT]
    found = [one for one in experiments.listing(LIFECYCLES[which]) if text.lower() in one["name"].lower()]
    for one in found:
        one["last"] = run_columns.moment(one["last_started_ms"])
    found.sort(key=lambda one: one["last_started_ms"] or one["created_ms"], reverse=True)
    return {"experiments": found, "text": text, "which": which, "may_create": may(request, "create")}


def experiment(request: HttpRequest, number: int) -> HttpResponse:
    """GET: an experiment and its runs. A filter that is none, or an unknown column, is said above the table."""
    check_reach(request)
    found = experiments.by_number(number)
    context: dict[str, Any] = {"wanted": _wanted(request), "here": request.get_full_path()}
    try:
        context |= _table(request, found, context["wanted"])
    except (Invalid, QueryTooSlow, TooMany, Unavailable) as exc:
        context |= {"trouble": exc.message, "status": exc.status, "runs": [], "columns": []}
    version = live.version(context)
    same = live.unchanged(request, version)
    (described,) = experiments.described([found])
    return same or page(
        request,
        "runs_part" if live.is_part(request) else "experiment",
        one=described,
        statuses=Run.STATUSES,
        may_change=may_change(request, found),
        is_deleted=found.lifecycle == DELETED,
        feeds=Feed.objects.filter(experiment=found).order_by("stream_name"),
        version=version,
        **context,
    )


def _wanted(request: HttpRequest) -> dict[str, str]:
    names = ("text", "status", "filter", "sort", "direction", "which")
    return {name: request.GET.get(name, "").replace("\x00", "").strip()[:LONGEST_TEXT] for name in names}


def _table(request: HttpRequest, found: Experiment, wanted: dict[str, str]) -> dict[str, Any]:
    if wanted["status"] and wanted["status"] not in Run.STATUSES:
        raise Invalid(f"status is {wanted['status'][:50]!r}: expected one of {', '.join(Run.STATUSES)}", field="status")
    which = parameters.choice(request, "which", LIFECYCLES, "")
    direction = parameters.choice(request, "direction", DIRECTIONS, "desc")
    rows = reading.selected(
        experiments=[found.pk],
        lifecycle=None if found.lifecycle == DELETED else LIFECYCLES[which],
        statuses=[wanted["status"]] if wanted["status"] else None,
        name=wanted["text"] or None,
    )
    if wanted["filter"]:
        rows = queries.filtered(rows, RUNS, wanted["filter"])
    if wanted["sort"]:
        rows = queries.ordered(rows, RUNS, [f"{_quoted(wanted['sort'])} {direction}"], "sort")
    else:
        rows = rows.order_by(*reading.DEFAULT_ORDER)
    skipped = parameters.whole(request, "skip", least=0) or 0
    total, some = limits.search(caller_key(request), lambda: (rows.count(), list(rows[skipped : skipped + PAGE + 1])))
    logged = summaries.read(run.pk for run in some[:PAGE])
    columns = run_columns.chosen(request, run_columns.known(logged.values()))
    kept = {name: request.GET.getlist(name) for name in (*wanted, "column") if request.GET.get(name)}
    older = urlencode({**kept, "skip": skipped + PAGE}, doseq=True)
    return {
        "runs": [run_columns.row(run, logged[run.pk], columns) for run in some[:PAGE]],
        "columns": columns,
        "total": total,
        "skipped": skipped,
        "older": f"?{older}" if len(some) > PAGE else "",
        "is_filtered": any(wanted[name] for name in ("text", "status", "filter", "which")),
    }


def _quoted(column: str) -> str:
    """Return a column as an order has it: ``metrics.`a key` ``; an attribute as it is."""
    part, dot, key = column.partition(".")
    return f"{part}.{f'`{key}`' if '`' not in key else repr(key)}" if dot else f"attributes.{part}"


def change(request: HttpRequest, number: int) -> HttpResponse:
    """POST: rename, describe, delete or restore an experiment."""
    check_reach(request)
    found = experiments.by_number(number)
    if not may_change(request, found):
        raise Forbidden(
            f"experiment {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    action = request.POST.get("action", "")
    if action == "delete":
        experiments.delete(found)
        messages.success(request, f"Experiment {found.name} and its runs are deleted. They can be restored.")
    elif action == "restore":
        experiments.restore(found)
        messages.success(request, f"Experiment {found.name} is restored, with the runs that were deleted with it.")
    elif action == "describe":
        fields = {"description": request.POST.get("description", "").replace("\r\n", "\n")}
        if request.POST.get("name", "").strip() not in ("", found.name):
            fields["name"] = request.POST["name"].strip()
        experiments.change(found, fields)
        messages.success(request, "Saved.")
    else:
        raise Invalid(f"action is {action[:50]!r}: expected describe, delete or restore", field="action")
    return to(f"{HERE}{found.pk}/")


def may_change(request: HttpRequest, owned: Experiment | Run | RegisteredModel | Service) -> bool:
    """Whether the person may change an experiment, a run, a registered model or a service: their own, or anybody's with the permission ``change_any``."""
    caller = caller_of(request)
    if caller is None or "change_any" in caller.permissions:
        return True
    return "change_own" in caller.permissions and caller.user_id == owned.owner_id
