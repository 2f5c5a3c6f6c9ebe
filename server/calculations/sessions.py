"""Agent sessions: registration, epochs, and contact. Only the server's clock counts."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F

from server.calculations import advertised, announcements, states
from server.calculations.models import AgentSession, Attempt, Cluster, Step
from server.calculations.transitions import SERVER, changing
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Unauthenticated

INTERVAL = 20
"""Seconds between two syncs of an agent."""

SILENT = timedelta(seconds=90)
"""Time without a sync after which a cluster is silent."""


def is_silent(cluster: Cluster, now: datetime | None = None) -> bool:
    """Whether the cluster's agent has not synced for :data:`SILENT`, or never did."""
    return cluster.seen_at is None or (now or datetime.now(UTC)) - cluster.seen_at > SILENT


def contact(step: Step, cluster: Cluster | None) -> str:
    """Return ``ok``, ``silent`` or ``lost``: whether the agent that has a step can be reached and still has it."""
    if step.state not in states.ACTIVE or cluster is None:
        return "ok"
    return "lost" if step.lost else "silent" if is_silent(cluster) else "ok"


def shared_settings(cluster: Cluster) -> dict[str, Any]:
    """Return the settings that agents are told."""
    limits = settings.TAILRACE
    return {
        "log_limit": limits.log_limit_mb * 2**20,
        "file_limit": limits.file_limit_mb * 2**20,
        "retention_days": cluster.retention_days,
        "streams": cluster.streams,
    }


def locked_cluster(cluster_id: int | None) -> Cluster:
    """Lock the cluster of an agent's token, and return it.

    Raises
    ------
    Unauthenticated
        If the cluster was deleted.
    Conflict
        If it is disabled.
    """
    cluster = Cluster.objects.select_for_update().filter(pk=cluster_id or 0).first()
    if cluster is None:
        raise Unauthenticated("the cluster of this token was deleted: ask an admin for another token")
    if cluster.state == Cluster.DISABLED:
        raise Conflict(f"cluster {cluster.name} is disabled: ask an admin to enable it", code="disabled")
    return cluster


def check_epoch(cluster: Cluster, epoch: int) -> None:
    """Refuse an older session.

    Raises
    ------
    Conflict
        If another session of the cluster was opened since.
    """
    if epoch != cluster.epoch:
        raise Conflict(
            f"session {epoch} of cluster {cluster.name} was superseded by session {cluster.epoch}: only one agent works for a "
            "cluster; stop this one, or register it again",
            code="superseded",
            field="epoch",
        )


def register(cluster_id: int | None, asked: dict[str, Any]) -> dict[str, Any]:
    """Open a session for an agent, which fences all former sessions of its cluster.

    Parameters
    ----------
    cluster_id
        The cluster of the caller's token.
    asked
        The body, with the fields of :class:`server.calculations.models.AgentSession`, ``programs`` and ``holdings``.

    Raises
    ------
    Conflict
        If the agent's root folder is a copy of another one whose agent is in contact.
    """
    programs, refused = advertised.checked(asked["programs"])
    with transaction_for_writing():
        cluster = locked_cluster(cluster_id)
        now = datetime.now(UTC)
        _check_not_copied(asked, now)
        cluster.epoch += 1
        fields = {name: asked[name] for name in ("agent", "host", "root", "version", "launcher", "slots")}
        AgentSession.objects.create(cluster=cluster, epoch=cluster.epoch, opened_at=now, seen_at=now, **fields)
        _seen(cluster, now)
        cluster.save(update_fields=["epoch", "seen_at", "silent"])
        advertised.replace(cluster, programs, now)
        _compare(cluster, asked["holdings"])
    return {
        "cluster": cluster.name,
        "epoch": cluster.epoch,
        "interval": INTERVAL,
        "time": now,
        "settings": shared_settings(cluster),
        "refused": refused,
    }


def _check_not_copied(asked: dict[str, Any], now: datetime) -> None:
    last = AgentSession.objects.filter(agent=asked["agent"]).order_by("-seen_at").first()
    if last is None or now - last.seen_at > SILENT or (last.host, last.root) == (asked["host"], asked["root"]):
        return
    raise Conflict(
        f"the agent with this identity runs on {last.host} in {last.root}, and synced {round((now - last.seen_at).total_seconds())} s "
        f"ago: {asked['root']} on {asked['host']} seems to be a copy of its folder. Give this agent an empty folder, or stop the "
        f"other one and wait {SILENT.seconds} s",
        code="copied_root",
        field="root",
    )


def _compare(cluster: Cluster, holdings: list[dict[str, Any]]) -> None:
    """Compare what the cluster should have with what its agent has.

    Steps that were never permitted are free again if the agent doesn't have them. From ``permitted`` on, a step that the agent
    does not have is lost: a person decides.
    """
    held = {(one["step"], one["fence"]) for one in holdings}
    steps = Step.objects.filter(cluster=cluster, state__in=states.ACTIVE)
    numbers = set(steps.values_list("calculation", flat=True))
    with changing(*numbers) as change:
        going_on, given_back = [], []
        for step in steps.all():
            is_held = (step.uid, step.fence) in held
            if is_held:
                going_on.append(step.pk)
                if step.lost:
                    step.lost = False
                    change.keep(step)
            elif step.state == states.CLAIMED:
                given_back.append(step.pk)
                change.move(step, states.READY, SERVER, "the agent's next session does not have it", state_only=True)
            elif not step.lost:
                step.lost = True
                change.keep(step)
        update_current(going_on, epoch=cluster.epoch)
        update_current(given_back, state=Attempt.GIVEN_BACK, ended_at=change.at)


def update_current(steps: list[int], **fields: Any) -> None:
    """Update the current attempts of steps, some hundred in one statement."""
    for low in range(0, len(steps), 500):
        Attempt.objects.filter(step__in=steps[low : low + 500], fence=F("step__fence")).update(**fields)


def mark_seen(cluster: Cluster, now: datetime) -> None:
    """Store that the agent of the current session has just synced."""
    _seen(cluster, now)
    cluster.save(update_fields=["seen_at", "silent"])
    AgentSession.objects.filter(cluster=cluster, epoch=cluster.epoch).update(seen_at=now)


def _seen(cluster: Cluster, now: datetime) -> None:
    cluster.seen_at = now
    if cluster.silent:
        cluster.silent = False
        announcements.contact_changed(cluster)


def watch_contact() -> Counter[str]:
    """Find clusters that fell silent: announce it, and free the steps that were claimed and never permitted.

    Returns
    -------
    Counter
        How many clusters fell silent (``silent``) and how many steps were freed (``freed``).
    """
    done: Counter[str] = Counter()
    border = datetime.now(UTC) - SILENT
    for pk in Cluster.objects.filter(silent=False, seen_at__lt=border).values_list("pk", flat=True):
        numbers = set(Step.objects.filter(cluster=pk, state=states.CLAIMED).values_list("calculation", flat=True))
        with transaction_for_writing():
            cluster = Cluster.objects.select_for_update().filter(pk=pk, silent=False, seen_at__lt=border).first()
            if cluster is None:
                continue
            cluster.silent = True
            cluster.save(update_fields=["silent"])
            announcements.contact_changed(cluster)
            done["silent"] += 1
            with changing(*numbers) as change:
                freed = list(Step.objects.filter(cluster=pk, state=states.CLAIMED, calculation__in=numbers))
                update_current([step.pk for step in freed], state=Attempt.GIVEN_BACK, ended_at=change.at)
                for step in freed:
                    change.move(step, states.READY, SERVER, f"cluster {cluster.name} is silent", state_only=True)
                done["freed"] += len(freed)
    return done
