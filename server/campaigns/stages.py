"""Stages: each run of a round becomes a calculation, a chain of steps that ends with the labels of a cell.

A calculation is submitted with a key made of campaign, round, run and attempt, so that it is submitted once, whenever the server
was killed.
"""

from typing import Any

from django.db.models import Max

from server.calculations import acting, programs, sessions, structures, submitting
from server.calculations.models import Calculation, Cluster
from server.campaigns.models import Campaign, Run, RunAttempt
from server.cells.canonical_json import fingerprint
from server.cells.models import Cell
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from server.core.json_codec import loads
from server.core.validation import format_value

OPEN = (Run.SCHEDULED, Run.RUNNING)
LABEL = "label"
NOT_SUBMITTED = "not submitted"


def find(campaign: Campaign, number: Any) -> Run:
    """Return a run of a campaign by its number.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = None
    if str(number).isascii() and str(number).isdigit() and len(str(number)) < 10:
        found = Run.objects.filter(campaign=campaign, number=int(number)).first()
    if found is None:
        raise NotFound(f"campaign {campaign.name} has no run {format_value(number)}", field="run")
    return found


def submit(attempt: RunAttempt) -> None:
    """Submit the calculation of an attempt. Repeated, it finds the one that was submitted before.

    Whoever may not submit so many steps now waits: the next try may succeed. Any other refusal ends the attempt.
    """
    run = attempt.run
    campaign = run.campaign
    try:
        asked = request_of(attempt)
        calculation, _ = submitting.submit(asked, created_by=campaign.created_by, owner_id=campaign.owner_id)
    except Forbidden as exc:
        attempt.reason = exc.message
        attempt.save(update_fields=["reason"])
        return
    except (Invalid, TooLarge, NotFound, Conflict) as exc:
        attempt.state, attempt.cause, attempt.reason = Run.FAILED, NOT_SUBMITTED, exc.message
        attempt.save(update_fields=["state", "cause", "reason"])
        return
    assert calculation is not None, "`again` was asked for"
    attempt.calculation, attempt.calculation_number, attempt.reason = calculation, calculation.pk, ""
    attempt.save(update_fields=["calculation", "calculation_number", "reason"])


def request_of(attempt: RunAttempt) -> dict[str, Any]:
    """Return the request that submits an attempt.

    Raises
    ------
    NotFound
        If the cell to deform, or the structure to label, is not there.
    """
    run = attempt.run
    campaign = run.campaign
    wanted = loads(run.decision.settings)["programs"]
    label = _step(wanted[LABEL], "labels", _of_cell(run))
    steps = [label]
    if run.stage == LABEL:
        label["structure"] = structures.find(run.cell).name
    else:
        own = {
            "composition": run.composition.name if run.composition else "",
            "seed": max(1, run.seed),
            "deformation": run.deformation,
        }
        first = _step(wanted[run.stage], run.stage, own)
        if run.stage == "augment":
            first["structure"] = _undeformed(run)
        label["parents"] = [first["name"]]
        steps = [first, label]
    return {
        "name": f"{campaign.name}: {run.cell}"[:200],
        "description": run.why,
        "program": steps[0]["program"],
        "cluster": _cluster(run),
        "steps": steps,
        "key": f"campaign:{campaign.pk}:{run.decision.number}:{run.number}:{attempt.number}",
        "again": True,
    }


def _step(wanted: dict[str, Any], name: str, own: dict[str, Any]) -> dict[str, Any]:
    """Return a step, with those of the run's own values that its program has as parameters."""
    known = programs.find(wanted["program"])["schema"].get("properties", {})
    parameters = wanted["parameters"] | {key: value for key, value in own.items() if key in known and value is not None}
    return {"name": name, "program": wanted["program"], "parameters": parameters, "resources": wanted["resources"]}


def _of_cell(run: Run) -> dict[str, Any]:
    composition = "" if run.composition is None else run.composition.name
    stream = run.campaign.stream
    return {
        "cell": run.cell, "composition": composition, "family": run.family or run.cell, "deformation": run.deformation or 0,
        "descriptor": None if stream is None else stream.descriptor,
    }  # fmt: skip


def _undeformed(run: Run) -> str:
    """Return the name of the structure of the family's cell that is not deformed, which is stored under it."""
    cells = Cell.objects.filter(
        stream=run.campaign.stream_id, status=Cell.LABELED, name__in=(f"{run.family}-00", run.family)
    )
    cell = cells.order_by("name").last()
    if cell is None:
        raise NotFound(f"stream {run.campaign.stream_name} has no cell of family {run.family} that could be deformed")
    name = f"cell-{fingerprint(cell.structure)[:24]}"
    campaign = run.campaign
    structures.create(name, cell.structure, "extxyz", created_by=campaign.created_by, owner_id=campaign.owner_id)
    return name


def _cluster(run: Run) -> str | None:
    """Return the cluster that a run goes to: its campaign's clusters take turns, but silent and closed ones only if all are."""
    names = loads(run.decision.settings)["clusters"]
    if not names:
        return None
    open_ones = [
        one for one in Cluster.objects.filter(name__in=names, state=Cluster.ENABLED) if not sessions.is_silent(one)
    ]
    usable = sorted(one.name for one in open_ones) or names
    return str(usable[(run.number - 1) % len(usable)])


def cancel(attempt: RunAttempt, reason: str) -> None:
    """Cancel what runs of an attempt, once."""
    if attempt.calculation_id is None or attempt.cause == "stopped":
        return
    try:
        acting.cancel(attempt.calculation_id, "", reason)
    except Conflict:
        pass  # it has ended
    attempt.cause = "stopped"
    attempt.save(update_fields=["cause"])


def restart(campaign: Campaign, run: Run, stage: Any, who: str) -> RunAttempt:
    """Start a failed run again, from its beginning (``stage`` None) or from its labels. If the campaign is paused, it waits.

    Raises
    ------
    Conflict
        If it hasn't failed, or its calculation has no cell to label.
    """
    stage = run.stage if stage is None else stage
    if stage not in (run.stage, LABEL):
        raise Invalid(
            f"stage is {format_value(stage)}: run {run.number} has the stages {' and '.join(dict.fromkeys((run.stage, LABEL)))}",
            field="stage",
        )
    with transaction_for_writing():
        campaign = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
        last = run.attempts.order_by("number").last()
        assert last is not None
        if last.state != Run.FAILED:
            what = (
                "its cell is learned: retract its observations if it is wrong"
                if last.state == Run.DONE
                else "it goes on"
            )
            raise Conflict(
                f"run {run.number} of campaign {campaign.name} is {last.state}, and {what}", code="wrong_state"
            )
        if campaign.state not in (Campaign.ACTIVE, Campaign.PAUSED):
            raise Conflict(f"campaign {campaign.name} is {campaign.state}: resume it first", code="wrong_state")
        made = RunAttempt(run=run, number=last.number + 1, stage=stage, started_by=who)
        if stage != run.stage:
            made.calculation = _retried(run, who)
            made.calculation_number = made.calculation.pk
        made.save(force_insert=True)
        audit_signals.send(
            "campaign.restart", f"{campaign.name}/{run.number}", after={"stage": stage, "attempt": made.number}
        )
    return made


def _retried(run: Run, who: str) -> Calculation:
    number = run.attempts.filter(calculation__isnull=False).aggregate(last=Max("calculation"))["last"]
    if number is None or not Calculation.objects.get(pk=number).steps.filter(name=run.stage, state="done").exists():
        raise Conflict(
            f"run {run.number} has no cell to label, because its stage {run.stage} is not done: restart that stage",
            code="wrong_state",
        )
    return acting.retry(number, who, f"run {run.number} is restarted from its labels")


def failed_step(calculation: Calculation) -> tuple[str, str]:
    """Return the cause and the reason for which a calculation failed."""
    bad = calculation.steps.filter(state__in=("failed", "unconverged", "cancelled")).order_by("number").first()
    if bad is None:
        return calculation.state, f"calculation {calculation.pk} is {calculation.state}"
    return f"{bad.program} {bad.state}"[
        :40
    ], f"step {bad.name} of calculation {calculation.pk}: {bad.reason or bad.state}"
