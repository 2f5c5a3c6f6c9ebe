"""What people do with calculations: approve, hold, release, cancel, run again, and decide about undecided steps."""

from typing import Any

from server.calculations import sessions, states
from server.calculations.models import Attempt, Calculation, Deletion, Step
from server.calculations.transitions import MOST_AT_ONCE, NEEDED, Actor, Change, changing, person
from server.core import audit_signals
from server.core.errors import Conflict, NotFound
from server.core.json_codec import loads
from server.core.validation import format_value

RUN_AGAIN, GIVE_UP = DECISIONS = ("run_again", "failed")


def find(number: Any) -> Calculation:
    """Return the calculation with this number.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = None
    if isinstance(number, int) or (
        isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 19
    ):
        related = Calculation.objects.select_related("cluster", "wanted_cluster", "structure")
        found = related.defer("structure__content").filter(pk=int(number)).first()
    if found is None:
        raise NotFound(_why_missing(number), field="calculation")
    return found


def _why_missing(number: Any) -> str:
    text = str(number)
    gone = (
        Deletion.objects.filter(calculation=int(text)).first()
        if text.isascii() and text.isdigit() and len(text) < 19
        else None
    )
    if gone is not None:
        return f"calculation {gone.calculation} was deleted{f' by {gone.by}' if gone.by else ''} on {gone.at:%Y-%m-%d}"
    return f"no calculation has the number {format_value(number)}"


def find_step(calculation: Calculation, name: str) -> Step:
    """Return a step of a calculation by its name.

    Raises
    ------
    NotFound
        If it has none.
    """
    found = calculation.steps.filter(name=name).first() if "\x00" not in name else None
    if found is None:
        raise NotFound(f"calculation {calculation.pk} has no step named {format_value(name)}", field="step")
    return found


def approve(number: int, who: str, reason: str = "") -> Calculation:
    """Approve a calculation: its steps are released, unless it was submitted to be held.

    Raises
    ------
    Conflict
        If it doesn't need approval, or has it.
    """
    with changing(number) as change:
        calculation = change.calculations[number]
        if not calculation.needs_approval or calculation.approved_at is not None:
            raise Conflict(f"calculation {number} needs no approval: it is {calculation.state}", code="wrong_state")
        calculation.approved_by, calculation.approved_at = who, change.at
        change.note(calculation, "approved", person(who), reason)
        if not loads(calculation.asked).get("hold"):
            for step in calculation.steps.filter(state=states.HELD).only(*NEEDED):
                change.move(step, change.after_release(step), person(who), reason or "approved", state_only=True)
        audit_signals.send("calculation.approve", str(number), after={"decision": "approved", "reason": reason})
    return calculation


def reject(number: int, who: str, reason: str = "") -> Calculation:
    """Reject a calculation that needs approval: its steps are cancelled.

    Raises
    ------
    Conflict
        If it doesn't need approval, or has it.
    """
    with changing(number) as change:
        calculation = change.calculations[number]
        if calculation.state != Calculation.NEEDS_APPROVAL:
            raise Conflict(f"calculation {number} needs no approval: it is {calculation.state}", code="wrong_state")
        change.note(calculation, "rejected", person(who), reason)
        for step in calculation.steps.filter(state__in=(*states.IDLE, states.BLOCKED)).only(*NEEDED):
            change.move(step, states.CANCELLED, person(who), reason or "rejected", state_only=True)
        audit_signals.send("calculation.approve", str(number), after={"decision": "rejected", "reason": reason})
    return calculation


def hold(number: int, who: str, reason: str = "") -> Calculation:
    """Hold the steps back of which no job exists yet. What runs goes on."""

    def all_of(change: Change, steps: list[Step], actor: Actor) -> None:
        _give_back(change, steps)
        for step in steps:
            change.move(step, states.HELD, actor, reason or "held back", state_only=True)

    return _act(number, who, "hold", reason, (states.WAITING, states.READY, states.CLAIMED), all_of)


def release(number: int, who: str, reason: str = "") -> Calculation:
    """Release the held steps.

    Raises
    ------
    Conflict
        If the calculation needs approval first, or has no held steps.
    """
    calculation = find(number)
    if calculation.state == Calculation.NEEDS_APPROVAL:
        raise Conflict(
            f"calculation {number} needs approval first ({calculation.needs_approval}): POST its approve/",
            code="approval",
        )

    def all_of(change: Change, steps: list[Step], actor: Actor) -> None:
        for step in steps:
            change.move(step, change.after_release(step), actor, reason or "released", state_only=True)

    return _act(number, who, "release", reason, (states.HELD,), all_of)


def cancel(number: int, who: str, reason: str = "") -> Calculation:
    """Cancel all steps that have not ended. Of those that were submitted, the agent cancels the jobs."""

    def all_of(change: Change, steps: list[Step], actor: Actor) -> None:
        submitted = [step.pk for step in steps if step.state in states.SUBMITTED]
        for low in range(0, len(submitted), MOST_AT_ONCE):
            Step.objects.filter(pk__in=submitted[low : low + MOST_AT_ONCE]).update(cancel_wanted=True)
        sessions.update_current(submitted, cancel_wanted=True)
        _give_back(change, steps)
        for step in steps:
            if step.state not in states.SUBMITTED:
                change.move(step, states.CANCELLED, actor, reason or "cancelled", state_only=True)

    can_be = (*states.IDLE, *states.ACTIVE, states.BLOCKED)
    return _act(number, who, "cancel", reason, can_be, all_of)


def retry(number: int, who: str, reason: str = "") -> Calculation:
    """Run the steps again that ended without a valid result. Steps that were blocked by them follow."""

    def all_of(change: Change, steps: list[Step], actor: Actor) -> None:
        for step in steps:
            change.move(step, change.after_release(step), actor, reason or "run again", state_only=True)

    return _act(number, who, "retry", reason, states.RETRIED, all_of)


def _act(number: int, who: str, what: str, reason: str, of: Any, all_of: Any) -> Calculation:
    with changing(number) as change:
        calculation = change.calculations[number]
        steps = list(Step.objects.filter(calculation=number, state__in=of).only(*NEEDED).order_by("number"))
        if not steps:
            raise Conflict(
                f"calculation {number} is {calculation.state}, and none of its steps is {' or '.join(of)}: there is nothing to "
                f"{what}",
                code="wrong_state",
            )
        change.note(calculation, what, person(who), reason)
        all_of(change, steps, person(who))
        audit_signals.send("calculation.change", str(number), after={"action": what, "reason": reason})
    return calculation


def _give_back(change: Change, steps: list[Step]) -> None:
    """Take those of these steps back that agents have claimed. Do so before they are moved."""
    claimed = [step.pk for step in steps if step.state == states.CLAIMED]
    sessions.update_current(claimed, state=Attempt.GIVEN_BACK, ended_at=change.at)


def decide(number: int, name: str, decision: str, who: str, reason: str = "") -> Calculation:
    """Decide about a step whose agent lost it, or is silent. The old attempt is cancelled wherever it turns up.

    Parameters
    ----------
    decision
        ``run_again`` (with a new fence) or ``failed``. A valid result of the old attempt still counts.

    Raises
    ------
    Conflict
        If the step is not undecided.
    """
    with changing(number) as change:
        step = find_step(change.calculations[number], name)
        contact = sessions.contact(step, step.cluster)
        if step.state not in states.SUBMITTED or contact == "ok":
            raise Conflict(
                f"step {name} of calculation {number} is {step.state}, and its agent is in contact: only steps that are lost, or "
                "on a silent cluster, need a decision; cancel it instead",
                code="wrong_state",
            )
        Attempt.objects.filter(step=step, fence=step.fence).update(cancel_wanted=True)
        after = states.READY if decision == RUN_AGAIN else states.FAILED
        step.lost = False
        change.move(step, after, person(who), reason or f"undecided ({contact}): {decision}")
        if after == states.READY:
            change.unpin(change.calculations[number])
        audit_signals.send(
            "calculation.change", str(number), after={"action": decision, "step": name, "reason": reason}
        )
    return change.calculations[number]


def change_fields(number: int, fields: dict[str, Any]) -> Calculation:
    """Change name, description or priority of a calculation. A priority holds for steps that were not claimed yet."""
    with changing(number) as change:
        calculation = change.calculations[number]
        before = {name: getattr(calculation, name) for name in fields}
        for name, value in fields.items():
            setattr(calculation, name, value)
        if "priority" in fields:
            calculation.steps.exclude(state__in=states.ENDED).update(priority=fields["priority"])
        audit_signals.send("calculation.change", str(number), before=before, after=fields)
    return calculation
