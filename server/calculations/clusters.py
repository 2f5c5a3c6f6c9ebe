"""Clusters: adding, changing, removing and describing them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import Count, ProtectedError

from server.calculations import sessions, states
from server.calculations.models import AgentSession, Cluster, Load, Step
from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict
from server.core.json_codec import loads
from server.core.validation import check_name, format_value

CHANGEABLE = ("title", "description", "state", "streams", "steps_limit", "user_limit", "retention_days")
LOADS_KEPT = timedelta(days=30)
MOST_LOADS = 2_000


def find(name: Any) -> Cluster:
    """Return the cluster with this name.

    Raises
    ------
    NotFound
        If there is none.
    """
    return find_by_name(Cluster.objects.all(), name, "no cluster named {name}", field="cluster")


def create(name: Any, created_by: str, **fields: Any) -> Cluster:
    """Add a cluster. Call it in the transaction that creates its token.

    Raises
    ------
    Conflict
        If the name is taken.
    """
    check_name(name, "cluster")
    try:
        with transaction_for_writing():
            cluster = Cluster.objects.create(name=name, created_by=created_by, **fields)
    except IntegrityError as exc:
        raise Conflict(
            f"the name {format_value(name)} is taken by another cluster", field="name", code="name_taken"
        ) from exc
    audit_signals.send("cluster.create", name, after=audit_values(cluster))
    return cluster


def change(cluster: Cluster, fields: dict[str, Any]) -> Cluster:
    """Change fields of a cluster. What runs in a cluster in maintenance goes on."""
    with transaction_for_writing():
        cluster = Cluster.objects.select_for_update().get(pk=cluster.pk)
        before = audit_values(cluster)
        for name, value in fields.items():
            setattr(cluster, name, value)
        cluster.save(update_fields=list(fields) or None)
        audit_signals.send("cluster.change", cluster.name, before=before, after=audit_values(cluster))
    return cluster


def delete(cluster: Cluster) -> None:
    """Remove a cluster that no calculation refers to.

    Raises
    ------
    Conflict
        If one does: disable the cluster instead.
    """
    try:
        with transaction_for_writing():
            audit_signals.send("cluster.delete", cluster.name, before=audit_values(cluster))
            cluster.delete()
    except ProtectedError as exc:
        raise Conflict(
            f"calculations of cluster {cluster.name} are kept here, so it can't be removed: set its state to disabled",
            field="cluster",
            code="in_use",
        ) from exc


def audit_values(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as the audit trail records it."""
    return {name: getattr(cluster, name) for name in CHANGEABLE}


def described(found: list[Cluster]) -> list[dict[str, Any]]:
    """Return clusters as the API shows them: state, contact, session, load, and how many steps are in each state."""
    now = datetime.now(UTC)
    counts: dict[int, dict[str, int]] = {}
    active = Step.objects.filter(cluster__in=found, state__in=states.ACTIVE).order_by().values_list("cluster", "state")
    ready = Step.objects.filter(cluster__in=found, state=states.READY).order_by().values_list("cluster", "state")
    for rows in (active, ready):
        for cluster, state, number in rows.annotate(number=Count("pk")):
            counts.setdefault(cluster, {})[state] = number
    return [_described(cluster, counts.get(cluster.pk, {}), now) for cluster in found]


def _described(cluster: Cluster, counts: dict[str, int], now: datetime) -> dict[str, Any]:
    session = AgentSession.objects.filter(cluster=cluster, epoch=cluster.epoch).first()
    load = Load.objects.filter(cluster=cluster).order_by("-at").first()
    return {
        "name": cluster.name,
        "title": cluster.title,
        "description": cluster.description,
        "state": cluster.state,
        "contact": "never" if cluster.seen_at is None else "silent" if sessions.is_silent(cluster, now) else "ok",
        "seen_at": cluster.seen_at,
        "streams": cluster.streams,
        "limits": {"steps": cluster.steps_limit, "user_steps": cluster.user_limit},
        "retention_days": cluster.retention_days,
        "agent": None
        if session is None
        else {
            "host": session.host,
            "root": session.root,
            "version": session.version,
            "launcher": session.launcher,
            "slots": session.slots,
            "epoch": session.epoch,
            "opened_at": session.opened_at,
        },
        "programs": sorted(cluster.programs.values_list("name", flat=True)),
        "load": None if load is None else {"at": load.at, **loads(load.values)},
        "steps": counts,
        "created_at": cluster.created_at,
        "created_by": cluster.created_by,
    }


def load_of(cluster: Cluster, since: datetime | None) -> list[dict[str, Any]]:
    """Return how busy a cluster was since a time, the oldest first: at most :data:`MOST_LOADS` values, the latest ones."""
    found = Load.objects.filter(cluster=cluster)
    if since is not None:
        found = found.filter(at__gt=since)
    rows = list(found.order_by("-at")[:MOST_LOADS])
    return [{"at": load.at, **loads(load.values)} for load in reversed(rows)]


def load_during(cluster: Cluster, begin: datetime, end: datetime, most: int = 200) -> list[dict[str, Any]]:
    """Return how busy a cluster was between two times, the oldest first: at most ``most`` values, evenly chosen."""
    found = Load.objects.filter(cluster=cluster, at__gte=begin, at__lte=end)
    rows = list(found.order_by("-at")[:MOST_LOADS])[::-1]
    return [{"at": load.at, **loads(load.values)} for load in rows[:: len(rows) // most + 1]]


def forget_old_loads() -> int:
    """Delete loads that are older than :data:`LOADS_KEPT`. Return how many."""
    with transaction_for_writing():
        return Load.objects.filter(at__lt=datetime.now(UTC) - LOADS_KEPT).delete()[0]
