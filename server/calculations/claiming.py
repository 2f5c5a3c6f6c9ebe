"""Claiming: which ready steps a cluster's agent gets."""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Count

from server.calculations import states
from server.calculations.models import AdvertisedProgram, Attempt, Cluster, Step
from server.calculations.transitions import Change, agent, locked

MOST_AT_ONCE = 200
"""Most steps that one sync claims."""

AHEAD = 4
"""How many times as many steps are looked at as are wanted, because others may have locked some."""


def claim(change: Change, cluster: Cluster, key: str, free: int) -> list[Attempt]:
    """Claim ready steps for a cluster, by priority and then by age.

    Steps whose calculations another agent has just locked are left to it. The calculations of claimed steps are added to
    ``change``.

    Parameters
    ----------
    key
        The UUID of the claim. A claim that was made already answers the same.
    free
        How many steps the agent can take.
    """
    again = list(_attempts(Attempt.objects.filter(cluster=cluster, claim=key)))
    if again:
        return [attempt for attempt in again if _is_claimed(attempt)]
    versions = dict(AdvertisedProgram.objects.filter(cluster=cluster).values_list("name", "version"))
    free = min(free, MOST_AT_ONCE, _room(cluster))
    if free <= 0 or not versions or cluster.state != Cluster.ENABLED:
        return []
    full, counts = _full_users(cluster)
    candidates = _candidates(cluster, sorted(versions), full, free * AHEAD)
    numbers = Step.objects.filter(pk__in=candidates).values_list("calculation", flat=True)
    # Calculations that this transaction has locked already aren't skipped: a lock is no obstacle to its own transaction.
    change.calculations |= locked(sorted(set(numbers)), skip=True) | dict(change.calculations)
    steps = Step.objects.filter(pk__in=candidates, state=states.READY, calculation__in=change.calculations)
    claimed: list[Attempt] = []
    pinned: list[int] = []
    for step in steps.order_by("-priority", "pk"):
        if len(claimed) == free:
            break
        calculation = change.calculations[step.calculation_id]
        if calculation.cluster_id not in (None, cluster.pk):
            continue  # another step of it was claimed by another cluster since
        if cluster.user_limit is not None and step.owner_id is not None:
            if counts.get(step.owner_id, 0) >= cluster.user_limit:
                continue
            counts[step.owner_id] = counts.get(step.owner_id, 0) + 1
        if calculation.cluster_id is None:
            calculation.cluster = cluster
            pinned.append(calculation.pk)
        step.cluster = cluster
        step.fence += 1
        change.move(step, states.CLAIMED, agent(cluster.name))
        claimed.append(
            Attempt(
                step=step,
                fence=step.fence,
                cluster=cluster,
                epoch=cluster.epoch,
                claim=key,
                state=states.CLAIMED,
                version=versions[step.program],
                claimed_at=change.at,
            )
        )
    Step.objects.filter(calculation__in=pinned).update(cluster=cluster)
    Attempt.objects.bulk_create(claimed)
    return claimed


def _is_claimed(attempt: Attempt) -> bool:
    return attempt.step.state == states.CLAIMED and attempt.step.fence == attempt.fence


def _attempts(found: Any) -> Any:
    return found.select_related("step").order_by("pk")


def forgotten(cluster: Cluster, before: Any) -> list[Attempt]:
    """Return the claimed attempts of a cluster whose work the agent was told before a time, and which it has not begun.

    The answer to their claim may have been lost, so they are told again.
    """
    found = Attempt.objects.filter(cluster=cluster, state=states.CLAIMED, claimed_at__lt=before)
    return [attempt for attempt in _attempts(found) if _is_claimed(attempt)]


def _room(cluster: Cluster) -> int:
    if cluster.steps_limit is None:
        return MOST_AT_ONCE
    return cluster.steps_limit - Step.objects.filter(cluster=cluster, state__in=states.ACTIVE).count()


def _full_users(cluster: Cluster) -> tuple[list[int], dict[int, int]]:
    """Return the users who have as many steps as they may, and how many each user has; nothing without a limit."""
    if cluster.user_limit is None:
        return [], {}
    rows = Step.objects.filter(cluster=cluster, state__in=states.ACTIVE, owner_id__isnull=False).order_by()
    counts = dict(rows.values_list("owner_id").annotate(number=Count("pk")))
    return [owner for owner, number in counts.items() if number >= cluster.user_limit], counts


def _candidates(cluster: Cluster, programs: Sequence[str], full: Sequence[int], most: int) -> list[int]:
    """Return ready steps of the cluster and of no cluster, the most urgent first.

    Each pair of cluster and program is a range of the index ``step_ready``, of which the beginning alone is read.
    """
    excluded = f" AND (owner_id IS NULL OR owner_id NOT IN ({', '.join(['%s'] * len(full))}))" if full else ""
    parts: list[str] = []
    values: list[Any] = []
    for program in programs:
        for place in ("cluster_id = %s", "cluster_id IS NULL"):
            parts.append(
                "SELECT * FROM (SELECT id, priority FROM calculations_step WHERE state = 'ready' AND "
                f"{place} AND program = %s{excluded} ORDER BY priority DESC, id LIMIT {most:d}) AS part{len(parts)}"
            )
            values += [cluster.pk, program] if "%s" in place else [program]
            values += full
    query = f"SELECT id FROM ({' UNION ALL '.join(parts)}) AS found ORDER BY priority DESC, id LIMIT {most:d}"
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return [row[0] for row in cursor.fetchall()]
