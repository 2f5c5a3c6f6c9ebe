"""Sync: an agent reports what became of its steps, and gets work, cancellations and what it may delete."""

import math
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from server.calculations import claiming, sessions, states, work
from server.calculations.models import Attempt, Cluster, Leftover, Load, Message, Parent, Step, StoredFile
from server.calculations.transitions import Change, agent, changing
from server.core.json_codec import dumps_text

CLEANED, LOST = "cleaned", "lost"
REPORTED = (
    states.READY,
    states.QUEUED,
    states.RUNNING,
    states.SETTLING,
    states.FAILED,
    states.CANCELLED,
    CLEANED,
    LOST,
)
"""What an agent may report of a step. ``ready`` gives it back; ``lost``: it can't say what became of the job."""

MOST_CLEANED = 100
"""Most folders that one answer names for deletion. An agent takes up to 500."""

MOST_IN_TURN = 100
"""Most reports that one transaction takes. On SQLite nobody else can write meanwhile."""

_TIMES = {states.QUEUED: "queued_at", states.RUNNING: "running_at"}
_ORDER = {state: n for n, state in enumerate(states.ACTIVE)}


def sync(cluster_id: int | None, asked: dict[str, Any]) -> dict[str, Any]:
    """Take an agent's reports, and answer with what it is to do. A repeated sync changes nothing and gets the same work.

    Raises
    ------
    Conflict
        If the session was superseded (nothing more is taken), or if the cluster is disabled.
    """
    reports, accepted = asked["steps"], []
    while len(reports) > MOST_IN_TURN:
        with changing(*_calculations(cluster_id, reports[:MOST_IN_TURN])) as change:
            cluster = sessions.locked_cluster(cluster_id)
            sessions.check_epoch(cluster, asked["epoch"])
            accepted += _take(change, cluster, reports[:MOST_IN_TURN])
        reports = reports[MOST_IN_TURN:]
    with changing(*_calculations(cluster_id, reports)) as change:
        cluster = sessions.locked_cluster(cluster_id)
        sessions.check_epoch(cluster, asked["epoch"])
        sessions.mark_seen(cluster, change.at)
        if asked["load"] is not None:
            Load.objects.create(cluster=cluster, at=change.at, values=dumps_text(asked["load"]))
        _log(cluster, asked["messages"], change.at)
        accepted += _take(change, cluster, reports) if reports else []
        attempts = []
        if asked["claim"] is not None:
            attempts = claiming.claim(change, cluster, asked["claim"], asked["free"])
        has_claimed, cancelled = _noted(cluster)
        if has_claimed:
            known = {attempt.pk for attempt in attempts}
            old = change.at - timedelta(seconds=2 * sessions.INTERVAL)
            attempts += [one for one in claiming.forgotten(cluster, old) if one.pk not in known]
        answer = {
            "epoch": cluster.epoch,
            "interval": sessions.INTERVAL,
            "time": change.at,
            "state": cluster.state,
            "cancel": cancelled,
            "clean": _cleanable(cluster, change.at),
            "accepted": accepted,
            "settings": sessions.shared_settings(cluster),
        }
    return answer | {"work": work.described(attempts)}  # after the transaction, since structures may be large


def _calculations(cluster_id: int | None, reports: list[dict[str, Any]]) -> set[int]:
    """Return the numbers of the calculations that reports are about. Most syncs have none, and then nothing is asked."""
    if not reports:
        return set()
    found = Attempt.objects.filter(cluster=cluster_id, step__uid__in={one["step"] for one in reports})
    return set(found.values_list("step__calculation", flat=True))


def _log(cluster: Cluster, messages: list[dict[str, Any]], now: datetime) -> None:
    if not messages:
        return
    Message.objects.bulk_create(
        Message(cluster=cluster, at=now, level=one["level"], text=one["text"], step=one.get("step") or "")
        for one in messages
    )


def _take(change: Change, cluster: Cluster, reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    uids = {one["step"] for one in reports}
    steps = {step.uid: step for step in Step.objects.filter(uid__in=uids, calculation__in=change.calculations)}
    attempts = {
        (one.step.uid, one.fence): one
        for one in Attempt.objects.filter(cluster=cluster, step__uid__in=uids).select_related("step")
    }
    accepted = []
    for report in reports:
        attempt = attempts.get((report["step"], report["fence"]))
        if attempt is None:
            state = _of_deleted(cluster, report)
        else:
            attempt.step = steps[report["step"]]
            state = _apply(change, cluster, attempt, report)
        accepted.append({"step": report["step"], "fence": report["fence"], "state": state})
    return accepted


def _of_deleted(cluster: Cluster, report: dict[str, Any]) -> str:
    """Take a report about an attempt that is not there, perhaps because its calculation was deleted."""
    left = Leftover.objects.filter(cluster=cluster, step=report["step"], fence=report["fence"])
    if report["state"] == CLEANED:
        return CLEANED if left.delete()[0] else "unknown"
    return "superseded" if left.exists() else "unknown"


def _apply(change: Change, cluster: Cluster, attempt: Attempt, report: dict[str, Any]) -> str:
    """Take one report. Return the state of the attempt as the server has it then."""
    state = report["state"]
    attempt.job = report.get("job") or attempt.job
    attempt.host = report.get("host") or attempt.host
    if state == CLEANED and attempt.state not in states.ACTIVE:
        attempt.files = Attempt.CLEANED
    elif is_current(attempt):
        _move(change, cluster, attempt, state, report.get("reason") or "")
    elif attempt.state in states.ACTIVE and state in (states.FAILED, states.CANCELLED, states.READY):
        attempt.state, attempt.ended_at = state if state != states.READY else Attempt.GIVEN_BACK, change.at
        attempt.reason = report.get("reason") or ""
    attempt.save()
    return attempt.state if is_current(attempt) or attempt.state not in states.ACTIVE else "superseded"


def _move(change: Change, cluster: Cluster, attempt: Attempt, state: str, reason: str) -> None:
    step = attempt.step
    was_lost, step.lost = step.lost, state == LOST and step.state in states.SUBMITTED
    if step.lost != was_lost:
        step.reason = reason if step.lost else ""
        change.keep(step)
    if state == states.READY:
        if step.state == states.CLAIMED:
            attempt.state, attempt.ended_at, attempt.reason = Attempt.GIVEN_BACK, change.at, reason
            change.move(step, states.READY, agent(cluster.name), reason or "given back")
    elif state in (states.FAILED, states.CANCELLED):
        attempt.state, attempt.ended_at, attempt.reason = state, change.at, reason
        change.move(step, state, agent(cluster.name), reason)
    elif state in states.SUBMITTED and step.state != states.CLAIMED and _ORDER[state] > _ORDER[step.state]:
        attempt.state = state
        if state in _TIMES:
            setattr(attempt, _TIMES[state], change.at)
        change.move(step, state, agent(cluster.name), reason)


def is_current(attempt: Attempt) -> bool:
    """Whether an attempt is the one that its step is at."""
    return (
        attempt.fence == attempt.step.fence and attempt.step.state in states.ACTIVE and attempt.state in states.ACTIVE
    )


_NOTED = f"""
SELECT step.uid, attempt.fence, attempt.cancel_wanted FROM calculations_attempt AS attempt
JOIN calculations_step AS step ON step.id = attempt.step_id
WHERE attempt.cluster_id = %s AND attempt.state IN ({", ".join(f"'{state}'" for state in states.ACTIVE)})
AND (attempt.cancel_wanted OR attempt.state = '{states.CLAIMED}') ORDER BY attempt.id
"""


def _noted(cluster: Cluster) -> tuple[bool, list[dict[str, Any]]]:
    """Return whether the cluster has claimed attempts, and those that are to be cancelled.

    Every sync asks this, and Django takes much longer to write such a query than a database to answer it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOTED, (cluster.pk,))
        rows = cursor.fetchall()
    return bool(rows), [{"step": uid, "fence": fence} for uid, fence, is_wanted in rows if is_wanted]


def _cleanable(cluster: Cluster, now: datetime) -> list[dict[str, Any]]:
    """Return folders that nobody needs any more.

    Their attempt ended before the retention, all of its declared files are stored here, and the steps that need it
    ended before the retention, too; or their calculation was deleted. If there are many, they take turns, so that folders that
    the agent can't clean keep no others from it.
    """
    border = now - timedelta(days=cluster.retention_days)
    missing = StoredFile.objects.filter(result__attempt=OuterRef("pk"), stored=False)
    needed = Parent.objects.filter(parent=OuterRef("step")).exclude(
        step__state__in=states.ENDED, step__changed_at__lt=border
    )
    left = Leftover.objects.filter(cluster=cluster).order_by("pk").values_list("step", "fence")
    kept = Attempt.objects.filter(cluster=cluster, files=Attempt.KEPT, ended_at__lt=border)
    parts: list[QuerySet[Any, tuple[str, int]]] = [left]
    if kept.exists():
        rows = kept.filter(~Exists(missing), ~Exists(needed)).order_by("ended_at", "pk")
        parts.insert(0, rows.values_list("step__uid", "fence"))
    wanted = [row for part in parts for row in part[:MOST_CLEANED]]
    if len(wanted) >= MOST_CLEANED:
        turn, most = int(now.timestamp()) // sessions.INTERVAL, MOST_CLEANED // len(parts)
        wanted = [row for part in parts for row in _in_turn(part, turn, most)]
    return [{"step": uid, "fence": fence} for uid, fence in wanted]


def _in_turn(rows: QuerySet[Any, Any], turn: int, most: int) -> QuerySet[Any, Any]:
    """Return a part of rows: another one each turn."""
    first = turn % max(1, math.ceil(rows.count() / most)) * most
    return rows[first : first + most]
