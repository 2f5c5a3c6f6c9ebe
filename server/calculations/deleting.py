"""Deletion of a calculation that has ended: its steps, attempts, results, logs and transitions.

What it taught stays: observations are in their streams. Contents of its files stay until they are cleaned up, because other
results may have the same. Its folders on clusters are left to their agents to delete.
"""

from django.db.models import Q

from server.calculations import acting, states
from server.calculations.models import (
    Attempt,
    Calculation,
    Deletion,
    Leftover,
    LogChunk,
    Parent,
    Result,
    Step,
    StoredFile,
    Structure,
    Transition,
)
from server.calculations.transitions import locked
from server.core import audit_signals
from server.core.db.batched_deletion import delete_in_batches
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid
from server.core.validation import format_value

_LOGS = (
    "SELECT c.id, LENGTH(c.data) FROM calculations_logchunk c JOIN calculations_attempt a ON a.id = c.attempt_id "
    "JOIN calculations_step s ON s.id = a.step_id WHERE s.calculation_id = %s"
)


def delete(number: int, who: str, confirm: str | None) -> None:
    """Delete a calculation. Its logs go first, in several transactions, and all the rest in one.

    Parameters
    ----------
    number
        The calculation.
    who
        Name of the user.
    confirm
        The calculation's name, as the user typed it.

    Raises
    ------
    NotFound
        If there is none.
    Invalid
        If ``confirm`` is not its name.
    Conflict
        If it has not ended, an attempt may still run, or another calculation needs one of its steps.
    """
    found = acting.find(number)
    if confirm != found.name:
        what = "missing" if confirm is None else format_value(confirm)
        raise Invalid(
            f"confirm is {what}: expected the name of calculation {found.pk}, {format_value(found.name)}",
            field="confirm",
        )
    _check(found)
    delete_in_batches(_LOGS, (found.pk,), _delete_logs)
    with transaction_for_writing():
        calculation = locked([found.pk]).get(found.pk)
        if calculation is None:
            acting.find(number)  # it was deleted meanwhile, which this says
            return
        _check(calculation)
        Deletion.objects.create(calculation=calculation.pk, name=calculation.name, by=who)
        values = {
            name: getattr(calculation, name) for name in ("name", "program", "state", "created_by", "fingerprint")
        }
        audit_signals.send("calculation.delete", str(calculation.pk), before=values)
        _leave_folders(calculation)
        _delete_rows(calculation)


def _check(calculation: Calculation) -> None:
    """Check that nothing of a calculation runs, and that nothing needs it."""
    number = calculation.pk
    waiting = calculation.steps.exclude(state__in=states.ENDED).order_by("number").first()
    if waiting is not None:
        raise Conflict(
            f"calculation {number} has not ended: step {waiting.name} is {waiting.state}; cancel it first, and wait until its "
            "jobs have ended",
            code="wrong_state",
        )
    active = Attempt.objects.filter(step__calculation=calculation, state__in=states.ACTIVE).exclude(
        cluster__state="disabled"
    )
    running = active.select_related("cluster", "step").first()
    if running is not None:
        raise Conflict(
            f"attempt {running.fence} of step {running.step.name} may still run on cluster {running.cluster.name}: wait until "
            "its agent says that it has ended; if the cluster is gone for good, disable it first",
            code="wrong_state",
        )
    child = Parent.objects.filter(Q(parent__calculation=calculation) & ~Q(step__calculation=calculation)).first()
    if child is not None:
        raise Conflict(
            f"calculation {child.step.calculation_id} needs step {child.parent.name} of calculation {number}: delete that "
            "calculation first",
            code="in_use",
        )


def _delete_logs(numbers: list[int]) -> int:
    with transaction_for_writing():
        return LogChunk.objects.filter(pk__in=numbers).delete()[0]


def _leave_folders(calculation: Calculation) -> None:
    kept = Attempt.objects.filter(step__calculation=calculation, files=Attempt.KEPT, permitted_at__isnull=False)
    Leftover.objects.bulk_create(
        (
            Leftover(cluster_id=cluster, step=uid, fence=fence)
            for cluster, uid, fence in kept.values_list("cluster", "step__uid", "fence")
        ),
        batch_size=200,
    )


def _delete_rows(calculation: Calculation) -> None:
    steps = Step.objects.filter(calculation=calculation)
    used = {calculation.structure_id, *steps.values_list("structure", flat=True)}
    structures = {pk for pk in used if pk is not None}
    of_attempts = {"attempt__step__calculation": calculation}
    LogChunk.objects.filter(**of_attempts).delete()
    StoredFile.objects.filter(result__attempt__step__calculation=calculation).delete()
    steps.update(result=None)
    Result.objects.filter(**of_attempts).delete()
    Attempt.objects.filter(step__calculation=calculation).delete()
    Parent.objects.filter(step__calculation=calculation).delete()
    Transition.objects.filter(calculation=calculation).delete()
    steps.delete()
    calculation.delete()
    unnamed = Structure.objects.filter(pk__in=structures, name=None)
    unnamed.exclude(pk__in=Calculation.objects.filter(structure__in=structures).values("structure")).exclude(
        pk__in=Step.objects.filter(structure__in=structures).values("structure")
    ).delete()
