"""Calculations as lists and pages show them."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Length

from server.calculations import sessions
from server.calculations.models import Attempt, Calculation, Message, Parent, Result, Step, StoredFile, Transition
from server.core.json_codec import loads
from server.core.slots import Slots

MOST_TRANSITIONS = 2_000

LARGE = 2**20
"""Characters of JSON of a calculation's results from which on reading it takes a slot of :data:`READING`."""
MOST_SHOWN = 4 * 2**20
"""Most characters of JSON of results that are shown together. Their values take about twenty times as much memory."""
_PARTS = ("values", "tables", "analyses", "kept")


def _limits() -> tuple[int, int]:
    most = max(2, settings.TAILRACE.working_threads // 4)
    return most, max(1, most // 2)


READING = Slots(
    _limits,
    process_full="this process reads {limit} calculations with large results already, the most allowed at once; try again",
    caller_full="this token or person is reading {limit} calculations with large results in this process, the most allowed: "
    "wait until one has ended",
)
"""Requests that hold large results in memory."""


@contextlib.contextmanager
def room(calculation: Calculation, key: int | None) -> Iterator[None]:
    """Hold a slot while a calculation is read, if its results are large.

    Parameters
    ----------
    key
        The caller's key (:class:`server.core.slots.Slots`).

    Raises
    ------
    TooMany, Unavailable
        If too many such calculations are read at the same time: by this caller, or by all callers of this process.
    """
    size = _sized(calculation).aggregate(together=Sum("size"))["together"] or 0
    with READING.held(key) if size > LARGE else contextlib.nullcontext():
        yield


def _sized(calculation: Calculation) -> Any:
    together = Length("values") + Length("tables") + Length("analyses") + Length("kept")
    return Result.objects.filter(attempt__step__calculation=calculation).order_by().annotate(size=together)


def page(
    *,
    state: str | None = None,
    owner: str | None = None,
    cluster: int | None = None,
    program: str | None = None,
    structure: int | None = None,
    text: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> tuple[list[dict[str, Any]], int | None]:
    """Return at most ``limit`` calculations, the newest first, and ``before`` of the next page (None: no more).

    Each filter with ``before`` is a range of an index.
    """
    found = Calculation.objects.select_related("cluster", "structure").order_by("-pk")
    found = found.defer("asked", "description", "structure__content")
    equal = {"state": state, "created_by": owner, "cluster": cluster, "program": program, "structure": structure}
    found = found.filter(**{name: value for name, value in equal.items() if value is not None})
    if text is not None:
        found = found.filter(name__icontains=text)
    if before is not None:
        found = found.filter(pk__lt=before)
    rows = list(found[: limit + 1])
    return [summary(row) for row in rows[:limit]], rows[limit - 1].pk if len(rows) > limit else None


def summary(calculation: Calculation) -> dict[str, Any]:
    """Return a calculation as lists show it."""
    structure, counts = calculation.structure, loads(calculation.counts)
    return {
        "id": calculation.pk,
        "name": calculation.name,
        "program": calculation.program,
        "structure": None
        if structure is None
        else {"id": structure.pk, "name": structure.name, "formula": structure.formula},
        "cluster": None if calculation.cluster is None else calculation.cluster.name,
        "state": calculation.state,
        "priority": calculation.priority,
        "steps": counts,
        "done": counts.get("done", 0),
        "total": sum(counts.values()),
        "cost": loads(calculation.cost),
        "created_at": calculation.created_at,
        "ended_at": calculation.ended_at,
        "created_by": calculation.created_by,
    }


def described(calculation: Calculation, step: str | None = None) -> dict[str, Any]:
    """Return a calculation with its steps (or one of them), attempts, results and transitions."""
    wanted = calculation.wanted_cluster
    return summary(calculation) | {
        "description": calculation.description,
        "wanted_cluster": None if wanted is None else wanted.name,
        "analyses": loads(calculation.analyses),
        "notify": loads(calculation.notify),
        "needs_approval": calculation.needs_approval,
        "approved_by": calculation.approved_by,
        "approved_at": calculation.approved_at,
        "asked": loads(calculation.asked),
        "fingerprint": calculation.fingerprint,
        "chain": chain(calculation, step),
        "transitions": transitions(calculation),
    }


def chain(calculation: Calculation, step_name: str | None = None) -> list[dict[str, Any]]:
    """Return the steps of a calculation in order, with parents, attempts and results; or one of them."""
    chosen = calculation.steps.all() if step_name is None else calculation.steps.filter(name=step_name)
    steps = list(chosen.select_related("cluster", "structure").defer("structure__content").order_by("number"))
    parents: dict[int, list[str]] = defaultdict(list)
    links = Parent.objects.filter(step__calculation=calculation).order_by("parent__number")
    for step, name in links.values_list("step", "parent__name"):
        parents[step].append(name)
    attempts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    results = _results(calculation, step_name)
    rows = Attempt.objects.filter(step__calculation=calculation).select_related("cluster").order_by("fence")
    for attempt in rows:
        attempts[attempt.step_id].append(_attempt(attempt, results.get(attempt.pk)))
    return [_step(step, parents[step.pk], attempts[step.pk]) for step in steps]


def _results(calculation: Calculation, step: str | None) -> dict[int, Result]:
    """Return the results of a calculation by attempt. Of those beyond :data:`MOST_SHOWN`, the large parts are not read.

    Results that count come first, in the order of the steps.
    """
    sized = _sized(calculation) if step is None else _sized(calculation).filter(attempt__step__name=step)
    rows = sized.values_list("pk", "size", "attempt__step__result", "attempt__step__number")
    shown: list[int] = []
    together = 0
    for pk, size, _, _ in sorted(rows, key=lambda row: (row[0] != row[2], row[3])):
        together += size
        if together > MOST_SHOWN and (step is None or shown):
            break
        shown.append(pk)
    found = Result.objects.filter(attempt__step__calculation=calculation).defer(*_PARTS).prefetch_related("files")
    results = {result.pk: result for result in found}
    parts = Result.objects.in_bulk(shown)
    for pk, result in results.items():
        for name in _PARTS:
            empty = "{}" if name in ("values", "tables") else "[]"
            setattr(result, name, getattr(parts[pk], name) if pk in parts else empty)
        result.left_out = pk not in parts  # type: ignore[attr-defined]
    return {result.attempt_id: result for result in results.values()}


def _step(step: Step, parents: list[str], attempts: list[dict[str, Any]]) -> dict[str, Any]:
    structure = step.structure
    counted = next((one["result"] for one in attempts if one["result"] and one["result"]["id"] == step.result_id), None)
    return {
        "id": step.uid,
        "name": step.name,
        "program": step.program,
        "parameters": loads(step.parameters),
        "corrections": loads(step.corrections),
        "structure": None
        if structure is None
        else {"id": structure.pk, "name": structure.name, "formula": structure.formula},
        "resources": loads(step.resources),
        "analyses": loads(step.analyses),
        "parents": parents,
        "state": step.state,
        "reason": step.reason,
        "cluster": None if step.cluster is None else step.cluster.name,
        "contact": sessions.contact(step, step.cluster),
        "cancel_wanted": step.cancel_wanted,
        "fence": step.fence,
        "changed_at": step.changed_at,
        "attempts": attempts,
        "result": counted,
    }


def _attempt(attempt: Attempt, result: Result | None) -> dict[str, Any]:
    return {
        "fence": attempt.fence,
        "cluster": attempt.cluster.name,
        "state": attempt.state,
        "reason": attempt.reason,
        "version": attempt.version,
        "job": attempt.job,
        "host": attempt.host,
        "files": attempt.files,
        "cancel_wanted": attempt.cancel_wanted,
        "claimed_at": attempt.claimed_at,
        "permitted_at": attempt.permitted_at,
        "queued_at": attempt.queued_at,
        "running_at": attempt.running_at,
        "ended_at": attempt.ended_at,
        "log_size": attempt.log_next,
        "walltime": loads(attempt.walltime),
        "correction": None if result is None else loads(result.next),
        "result": None if result is None else _result(result),
    }


def _result(result: Any) -> dict[str, Any]:
    return {
        "id": result.pk,
        "state": result.state,
        "reason": result.reason,
        "exit_code": result.exit_code,
        "left_out": result.left_out,
        "values": loads(result.values),
        "tables": loads(result.tables),
        "analyses": loads(result.analyses),
        "report": result.report,
        "files": [file(one) for one in sorted(result.files.all(), key=lambda one: one.name)],
        "kept": loads(result.kept),
        **loads(result.times),
        "accepted_at": result.accepted_at,
    }


def file(stored: StoredFile) -> dict[str, Any]:
    """Return a file of a result as the API shows it."""
    return {
        "name": stored.name,
        "analysis": stored.analysis,
        "size": stored.size,
        "sha256": stored.sha256,
        "stored": stored.stored,
    }


def transitions(calculation: Calculation) -> list[dict[str, Any]]:
    """Return the transitions of a calculation, the oldest first: the last :data:`MOST_TRANSITIONS`."""
    rows = Transition.objects.filter(calculation=calculation).order_by("-pk")[:MOST_TRANSITIONS]
    names = ("at", "step__name", "fence", "before", "after", "who", "name", "reason")
    found = [dict(zip(names, row, strict=True)) for row in rows.values_list(*names)]
    return [{"step": one.pop("step__name"), **one} for one in reversed(found)]


def messages(cluster: int, before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Return lines of an agent's log, the newest first, and ``before`` of the next page."""
    found = Message.objects.filter(cluster=cluster).order_by("-pk")
    if before is not None:
        found = found.filter(pk__lt=before)
    rows = list(found[: limit + 1])
    shown = [
        {"id": one.pk, "at": one.at, "level": one.level, "text": one.text, "step": one.step or None}
        for one in rows[:limit]
    ]
    return shown, rows[limit - 1].pk if len(rows) > limit else None
