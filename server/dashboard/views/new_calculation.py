"""The form for a new calculation, made of the program's schema; a calculation can be cloned with changes."""

import math
import secrets
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse

from server.calculations import approval, programs, states, structures, submitting
from server.calculations.models import Calculation, Cluster, Step, Structure
from server.core.errors import Conflict, Forbidden, Invalid, TailraceError
from server.core.validation import format_value
from server.dashboard import schema_form
from server.dashboard.rendering import caller_of, page, refused, to
from server.dashboard.views.calculation import asked_of
from server.dashboard.views.calculations import check_reach, may

MOST_STRUCTURES = 500
RESOURCES = {"nodes": ("Nodes", 1), "processes": ("Processes", 1), "seconds": ("Wall time, s", 3600)}
MOST_SCANNED = 2_000
EMPTY = {
    "name": "", "description": "", "cluster": "", "priority": 50, "analyses": [], "hold": False, "structure": "",
    "structure_content": "", "structure_format": "",
}  # fmt: skip
"""What an empty form shows."""


def new(request: HttpRequest) -> HttpResponse:
    """GET: choose a program, then fill in its form. POST: check it, or submit it."""
    check_reach(request)
    if request.method != "POST":
        clone = request.GET.get("clone", "")
        cloned = asked_of(clone) if clone else {"structure": request.GET.get("structure", "")}
        name = request.GET.get("program", "") or str(cloned.get("program", ""))
        if not name:
            structure = cloned.get("structure", "")
            return page(request, "calculation_programs", programs=programs.merged(), structure=structure)
        return page(request, "calculation_new", **_shown(programs.find(name), cloned, clone))
    program = programs.find(request.POST.get("program", ""))
    asked: dict[str, Any] = {}
    try:
        asked = _asked(request, program)
        if "check" in request.POST:
            plan = submitting.plan(asked)
            return page(request, "calculation_new", **_shown(program, asked, ""), plan=_planned(plan))
        if asked["priority"] > 50 and not may(request, "approve"):
            raise Forbidden("a priority above 50 takes a moderator: submit it with 50, and ask one to raise it")
        made, same = _submit(request, asked)
    except TailraceError as exc:
        shown = _shown(program, asked, "")
        _mark(shown["fields"], request, exc)
        return refused(request, "calculation_new", exc, **shown)
    if made is None:
        return page(request, "calculation_new", **_shown(program, asked, ""), identical=same)
    messages.success(request, "The calculation is submitted.")
    return to(f"/calculations/{made.pk}/")


def _submit(request: HttpRequest, asked: dict[str, Any]) -> tuple[Calculation | None, list[dict[str, Any]]]:
    """Submit once, however often the form is sent. A form that was changed after it was sent submits another one."""
    caller = caller_of(request)
    by: dict[str, Any] = {
        "created_by": "" if caller is None else caller.username,
        "owner_id": None if caller is None else caller.user_id,
    }
    try:
        return submitting.submit({**asked, "key": request.POST.get("key", "")[:200] or None}, **by)
    except Conflict as exc:
        if exc.code != "key_taken":
            raise
        return submitting.submit(asked, **by)


def _asked(request: HttpRequest, program: dict[str, Any]) -> dict[str, Any]:
    given = request.POST
    schema = program["schema"]
    asked: dict[str, Any] = {
        "name": _line(given.get("name", ""), "name", 200),
        "description": given.get("description", "").replace("\r\n", "\n")[:10_000],
        "program": program["name"],
        "cluster": given.get("cluster", "") or None,
        "priority": _whole(given.get("priority", "") or "50", "priority", 0, 100),
        "parameters": schema_form.read(schema, given),
        "analyses": given.getlist("analyses"),
        "notify": [name for name in given.get("notify", "").replace(",", " ").split() if name],
        "hold": "hold" in given,
        "again": "again" in given,
        "resources": {
            name: _whole(text, f"resources.{name}", 1, 10**8)
            for name in RESOURCES
            if (text := given.get(name, "").strip())
        },
    }
    if not asked["name"]:
        raise Invalid("name is empty: expected what the calculation is", field="name")
    content = given.get("structure_content", "").replace("\r\n", "\n")
    if content.strip():
        form = given.get("structure_format", "extxyz")
        if form not in structures.FORMATS:
            raise Invalid(
                f"structure_format is {format_value(form)}: expected one of {', '.join(structures.FORMATS)}",
                field="structure_format",
            )
        asked["structure_content"], asked["structure_format"] = content, form
    elif given.get("structure", ""):
        asked["structure"] = given["structure"]
    if given.get("scan", ""):
        asked["scan"] = _scan(request, schema)
    return asked


def _scan(request: HttpRequest, schema: dict[str, Any]) -> dict[str, Any]:
    given = request.POST
    scan: dict[str, Any] = {"parameter": given["scan"], "chained": "chained" in given}
    listed = given.get("values", "").strip()
    if listed:
        parts = [part for part in listed.split(",") if part.strip()]
        if len(parts) > MOST_SCANNED:
            raise Invalid(f"scan.values has {len(parts)} values: expected at most {MOST_SCANNED}", field="values")
        scan["values"] = [schema_form.value_of(schema, given["scan"], part, "values") for part in parts]
        return scan
    for name in ("from", "to", "by"):
        text = given.get(name, "").strip()
        try:
            scan[name] = float(text)
        except ValueError:
            raise Invalid(
                f"{name} is {format_value(text)}: expected a number, or a list of values instead", field=name
            ) from None
        if not math.isfinite(scan[name]):
            raise Invalid(f"{name} is {format_value(text)}: expected a finite number", field=name)
    return scan


def _line(text: str, field: str, longest: int) -> str:
    text = text.strip()
    if len(text) > longest or "\x00" in text:
        raise Invalid(f"{field} has {len(text)} characters: expected at most {longest}", field=field)
    return text


def _whole(text: str, field: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise Invalid(f"{field} is {format_value(text)}: expected a whole number from {least} to {most:,}", field=field)
    return int(text)


def _mark(fields: list[schema_form.Parameter], request: HttpRequest, error: TailraceError) -> None:
    """Fill in again what was given, and say what is wrong beside the parameter that it is about."""
    for one in fields:
        one.text = request.POST.get(one.parameter, one.text)
        if error.field == f"parameters.{one.name}" or (error.field or "").startswith(f"parameters.{one.name}."):
            one.error = error.message


def _shown(program: dict[str, Any], asked: dict[str, Any], clone: str) -> dict[str, Any]:
    named = Structure.objects.filter(name__isnull=False).order_by("name").values_list("name", "formula")
    asked = {**EMPTY, **asked}
    scan = {"parameter": "", "from": "", "to": "", "by": "", "chained": False, **(asked.get("scan") or {})}
    scanned = list(program["schema"].get("properties", {}))
    return {
        "program": program,
        "key": secrets.token_hex(16),
        "asked": asked,
        "clone": clone,
        "fields": schema_form.parameters_of(program["schema"], asked.get("parameters")),
        "scanned": scanned,
        "scan": scan,
        "scan_values": ", ".join(str(value) for value in scan.get("values") or ()),
        "structures": list(named[:MOST_STRUCTURES]),
        "formats": structures.FORMATS,
        "resources": [
            (name, words, (asked.get("resources") or {}).get(name, ""), default)
            for name, (words, default) in RESOURCES.items()
        ],
        "has_steps": bool(asked.get("steps")),
        "waits": _waits(program),
    }


def _waits(program: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what waits and runs on each cluster that offers the program."""
    names = [one["name"] for one in program["clusters"]]
    counts: dict[tuple[str | None, str], int] = {}
    busy = Step.objects.filter(state__in=(states.READY, *states.ACTIVE)).order_by()
    for cluster, state, count in busy.values_list("cluster__name", "state").annotate(count=Count("pk")):
        counts[cluster, "waiting" if state == states.READY else "running"] = (
            counts.get((cluster, "waiting" if state == states.READY else "running"), 0) + count
        )
    anywhere = counts.get((None, "waiting"), 0)
    found = Cluster.objects.filter(name__in=names).order_by("name")
    return [
        {
            "name": cluster.name, "state": cluster.state, "running": counts.get((cluster.name, "running"), 0),
            "waiting": counts.get((cluster.name, "waiting"), 0) + anywhere,
        }
        for cluster in found
    ]  # fmt: skip


def _planned(plan: submitting.Plan) -> dict[str, Any]:
    return {
        "steps": len(plan.steps),
        "cost": plan.cost,
        "needs": approval.needed(plan.programs, plan.cost),
        "names": [step.name for step in plan.steps[:20]],
        "more": max(0, len(plan.steps) - 20),
    }
