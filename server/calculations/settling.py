"""Permission to submit, and results: the first valid result of a step wins, and a late valid one counts."""

import logging
from typing import Any

from server.calculations import resources, schemas, sessions, states
from server.calculations.models import Attempt, Leftover, Result, Step, StoredFile
from server.calculations.syncing import is_current
from server.calculations.transitions import SERVER, Change, agent, changing
from server.core.errors import Conflict, Invalid, NotFound, TooLarge
from server.core.json_codec import dumps_text, loads
from server.core.validation import format_value

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
"""Most attempts of a step that follow from each other by themselves."""

ENDS = (states.DONE, states.UNCONVERGED, states.FAILED, states.CANCELLED)


def find(cluster_id: int | None, uid: str, fence: int) -> Attempt:
    """Return an attempt of the agent's own cluster, with its step.

    Raises
    ------
    NotFound
        If the cluster has none.
    Conflict
        If its calculation was deleted.
    """
    attempts = Attempt.objects.select_related("step", "cluster")
    found = attempts.filter(cluster=cluster_id, step__uid=uid, fence=fence).first() if "\x00" not in uid else None
    if (
        found is None
        and "\x00" not in uid
        and Leftover.objects.filter(cluster=cluster_id, step=uid, fence=fence).exists()
    ):
        raise Conflict(
            f"attempt {fence} of step {uid} may not go on: its calculation was deleted",
            code="superseded",
            field="fence",
        )
    if found is None:
        raise NotFound(f"this cluster has no step {format_value(uid)} with the fence {fence}", field="step")
    return found


def superseded(step: Step, fence: int, why: str) -> Conflict:
    """Return the error for an attempt that may not go on."""
    return Conflict(f"attempt {fence} of step {step.uid} may not go on: {why}", code="superseded", field="fence")


def permit(
    cluster_id: int | None, uid: str, epoch: int, fence: int, version: str = "", walltime: Any = None
) -> dict[str, Any]:
    """Permit an agent to submit a step's job. Repeated, the answer is the same.

    Parameters
    ----------
    version
        Version of the program that prepared the job; empty: as it was advertised.
    walltime
        Wall time of the job, and where it comes from; None if the agent does not tell it.

    Raises
    ------
    NotFound
        If the cluster has no such attempt.
    Conflict
        If the session or the fence is old, or the step is cancelled or held.
    """
    number = find(cluster_id, uid, fence).step.calculation_id
    with changing(number) as change:
        cluster = sessions.locked_cluster(cluster_id)
        sessions.check_epoch(cluster, epoch)
        attempt = find(cluster_id, uid, fence)
        step = attempt.step
        if not is_current(attempt):
            raise superseded(step, fence, f"the step is {step.state}, and its current attempt is {step.fence}")
        if step.cancel_wanted or attempt.cancel_wanted:
            raise superseded(step, fence, "it was cancelled")
        if step.state == states.CLAIMED:
            attempt.state, attempt.permitted_at, attempt.epoch = states.PERMITTED, change.at, epoch
            attempt.version, attempt.walltime = version or attempt.version, dumps_text(walltime)
            attempt.save()
            change.move(step, states.PERMITTED, agent(cluster.name))
    return {"permitted": True}


def accept(cluster_id: int | None, uid: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Store the result of an attempt, and move its step on. Repeated, the answer is the same.

    Results of older sessions are accepted, so that none is lost.

    Raises
    ------
    NotFound
        If the cluster has no such attempt.
    Conflict
        If the attempt was superseded and the step has a result, or if the attempt never had permission to run.
    """
    fence = asked["fence"]
    number = find(cluster_id, uid, fence).step.calculation_id
    with changing(number) as change:
        attempt = find(cluster_id, uid, fence)
        step, is_valid = attempt.step, asked["state"] == states.DONE
        stored = Result.objects.filter(attempt=attempt).first()
        if stored is None or (is_valid and stored.state != states.DONE):
            if is_valid and attempt.permitted_at is None:
                raise Conflict(f"attempt {fence} of step {uid} was never permitted to run", code="not_permitted")
            if step.state == states.DONE:
                raise superseded(step, fence, "the step has a valid result")
            stored = _store(change, attempt, asked, stored)
            _settle(change, attempt, stored, asked)
    return _answer(step, attempt, stored)


def _answer(step: Step, attempt: Attempt, stored: Result) -> dict[str, Any]:
    missing = StoredFile.objects.filter(result=stored, stored=False).values_list("sha256", flat=True)
    answer: dict[str, Any] = {
        "accepted": True,
        "first": step.result_id == stored.pk,
        "state": stored.state,
        "missing": sorted(set(missing)),
    }
    if loads(stored.next) is not None:
        answer["next_fence"] = attempt.fence + 1
    return answer


def _store(change: Change, attempt: Attempt, asked: dict[str, Any], old: Result | None) -> Result:
    if old is not None:
        old.delete()
    result = Result.objects.create(
        attempt=attempt,
        state=asked["state"],
        reason=asked["reason"] or "",
        exit_code=asked["exit_code"],
        values=dumps_text(asked["values"]),
        tables=dumps_text(asked["tables"]),
        analyses=dumps_text(asked["analyses"]),
        report=asked["report"] or "",
        kept=dumps_text(asked["kept"]),
        times=dumps_text({"began": asked["began"], "ended": asked["ended"]}),
        accepted_at=change.at,
    )
    declared = [("", file) for file in asked["files"]]
    declared += [(one["name"], file) for one in asked["analyses"] for file in one["files"]]
    here = {(file["sha256"], file["size"]) for _, file in declared if _is_here(file["sha256"], file["size"])}
    StoredFile.objects.bulk_create(
        StoredFile(
            result=result, analysis=analysis, name=file["name"], size=file["size"], sha256=file["sha256"],
            stored=(file["sha256"], file["size"]) in here,
        )
        for analysis, file in declared
    )  # fmt: skip
    return result


def _is_here(sha256: str, size: int) -> bool:
    """Whether a content is stored already. The result that names it can't be deleted before this transaction ends."""
    rows = StoredFile.objects.filter(sha256=sha256, size=size, stored=True).select_for_update(no_key=True)
    return rows.order_by("-pk").values_list("pk").first() is not None


def _settle(change: Change, attempt: Attempt, result: Result, asked: dict[str, Any]) -> None:
    step, was_current = attempt.step, is_current(attempt)
    attempt.state, attempt.reason, attempt.ended_at = result.state, result.reason, change.at
    attempt.job, attempt.host = asked["job"] or attempt.job, asked["host"] or attempt.host
    attempt.save()
    actor = agent(attempt.cluster.name)
    if result.state == states.DONE:
        step.result = result
        step.fence, current = attempt.fence, step.fence
        change.move(
            step, states.DONE, actor, result.reason if was_current else f"a late result of attempt {attempt.fence}"
        )
        step.fence = current
        _stop_others(attempt)
    elif was_current:
        change.move(step, result.state, actor, result.reason)
        if _correct(change, step, attempt, asked["next"]):
            result.next = dumps_text(asked["next"])
            result.save(update_fields=["next"])


def _stop_others(attempt: Attempt) -> None:
    """Stop the other attempts of a step that has a valid result now."""
    others = Attempt.objects.filter(step=attempt.step).exclude(pk=attempt.pk)
    others.filter(state=states.CLAIMED).update(state=Attempt.GIVEN_BACK)
    others.filter(state__in=states.SUBMITTED).update(cancel_wanted=True)


def _correct(change: Change, step: Step, attempt: Attempt, wanted: dict[str, Any] | None) -> bool:
    """Start the next attempt that a handler asked for.

    There is none if there were too many, if somebody wants the step cancelled, or if what it asks for is invalid.
    """
    if wanted is None or step.state == states.CANCELLED or attempt.cancel_wanted:
        return False
    tried = Attempt.objects.filter(step=step, permitted_at__isnull=False).count()
    if tried >= MOST_ATTEMPTS:
        return False
    corrections = {**loads(step.corrections), **wanted["corrections"]}
    try:
        resources.check(wanted["resources"], "next.resources")
        schemas.Sizes().add(corrections, "next.corrections")
    except (Invalid, TooLarge) as exc:
        logger.warning("step %s is not corrected: %s", step.uid, exc.message)
        return False
    step.corrections = dumps_text(corrections)
    step.resources = dumps_text({**loads(step.resources), **wanted["resources"]})
    change.move(step, states.READY, SERVER, f"{wanted['name']}: {wanted['reason']}")
    return True
