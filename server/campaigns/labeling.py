"""Labels by hand: a person posts the cell of a run, which then counts as done."""

from typing import Any

from django.db.models import Q

from server.campaigns import deciding, ingesting, stages
from server.campaigns.models import Campaign, Run, RunAttempt
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound
from server.core.json_codec import loads
from server.core.validation import format_value


def label(campaign: Campaign, payload: dict[str, Any], who: str) -> Run:
    """Learn a cell that a person labeled, in place of the run's calculation.

    Raises
    ------
    NotFound
        If no run of the campaign is for that cell.
    Conflict
        If the run's cell is learned already.
    Invalid
        If the cell can't be used.
    """
    name = payload.get("name")
    run = _run(campaign, name)
    if campaign.stream is None:
        raise Conflict(f"stream {campaign.stream_name} of campaign {campaign.name} was deleted")
    last = run.attempts.select_related("run__campaign__stream").order_by("number").last()
    assert last is not None
    if last.state == Run.DONE:
        raise Conflict(
            f"cell {run.cell} is learned already, as observations {last.first} to {last.last}", code="name_taken"
        )
    try:
        cell = ingesting.learn(last, ingesting.checked(last, payload), campaign.stream)
    except ingesting.Unusable as exc:
        raise Invalid(str(exc)) from exc
    if last.state in stages.OPEN:
        stages.cancel(last, f"{who or 'a person'} labeled the cell by hand")
    with transaction_for_writing():
        done = Q(run=run, number=last.number, state__in=stages.OPEN)
        fields: dict[str, Any] = {
            "state": Run.DONE, "cause": "", "reason": f"labeled by hand{f' by {who}' if who else ''}", "first": cell.first,
            "last": cell.last, "ended_at": cell.created_at,
        }  # fmt: skip
        if not RunAttempt.objects.filter(done).update(**fields):
            RunAttempt.objects.create(run=run, number=last.number + 1, stage=stages.LABEL, started_by=who, **fields)
        audit_signals.send("campaign.label", f"{campaign.name}/{run.number}", after={"cell": run.cell})
    return run


def _run(campaign: Campaign, name: Any) -> Run:
    found = (
        Run.objects.filter(campaign=campaign, cell=name).first()
        if isinstance(name, str) and "\x00" not in name
        else None
    )
    if found is not None:
        return found
    waiting = deciding.open_proposal(campaign)
    if waiting is not None and name in [one["name"] for one in loads(waiting.choice)["picks"]]:
        raise Conflict(
            f"cell {name} is proposed in round {waiting.number}: approve the round, and label the cell then",
            code="wrong_state",
        )
    raise NotFound(f"no run of campaign {campaign.name} is for a cell {format_value(name)}", field="name")
