"""Services by name: create, run, stop, restart, delete, and show them."""

import re
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError
from django.db.models import F, QuerySet

from server.calculations import clusters, sessions
from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid
from server.core.json_codec import dumps_text, loads
from server.core.validation import check_name, format_value
from server.services.models import Service, ServiceAgent

IMAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:/-]{0,350}@)?sha256:[0-9a-f]{64}\Z")
"""An image by its digest: of its manifest, after a name, or of its configuration, alone."""
LONGEST_SAMPLE = 100_000
LIMITS = ("memory_mb", "cpus", "pids")
ACTIONS = {Service.RUNNING: "service.run", Service.STOPPED: "service.stop", Service.DELETED: "service.delete"}


def find(name: Any) -> Service:
    """Return the service with this name.

    Raises
    ------
    NotFound
        If there is none.
    """
    return find_by_name(_there(), name, "no service named {name}", field="service")


def create(name: Any, cluster_name: Any, asked: dict[str, Any], *, created_by: str, owner_id: int | None) -> Service:
    """Ask a cluster's model agent to run an image.

    Parameters
    ----------
    asked
        ``image``, ``sample`` and, optionally, the limits and ``description``, ``port``, ``start_seconds``,
        ``registered_model`` and ``model_version``.

    Raises
    ------
    Invalid
        If the image isn't named by its digest, or the sample has no expected answer.
    NotFound
        If there is no such cluster.
    Conflict
        If the name is taken.
    """
    check_name(name, "service")
    if not IMAGE.match(asked["image"]):
        raise Invalid(
            f"image is {format_value(asked['image'])}: expected an image by its digest, NAME@sha256:… or sha256:…, since a tag may "
            "name another image tomorrow",
            field="image",
        )
    sample = dumps_text(asked["sample"])
    if len(sample) > LONGEST_SAMPLE:
        raise Invalid(f"sample takes {len(sample)} characters: the most allowed is {LONGEST_SAMPLE}", field="sample")
    columns = {key: value for key, value in asked.items() if key != "sample" and value is not None}
    cluster = clusters.find(cluster_name)
    taken = Conflict(f"the name {format_value(name)} is taken by another service", field="name", code="name_taken")
    try:
        with transaction_for_writing():
            if Service.objects.filter(name=name).exists():
                raise taken
            made = Service.objects.create(
                name=name, cluster=cluster, sample=sample, created_by=created_by, owner_id=owner_id, **columns
            )
            audit_signals.send("service.create", name, after=_audited(made))
    except IntegrityError as exc:
        raise taken from exc
    return made


def want(service: Service, wanted: str) -> Service:
    """Have the service run, stopped, or deleted. Its agent does it at its next sync."""
    with transaction_for_writing():
        rows = Service.objects.select_related("cluster").select_for_update(of=("self",), no_key=True)
        service = rows.get(pk=service.pk)  # not its cluster, which agents hold before its services
        before = _audited(service)
        if wanted == Service.DELETED and not ServiceAgent.objects.filter(cluster=service.cluster_id).exists():
            service.delete()  # no agent has ever had it
        elif service.wanted != wanted:
            service.wanted, service.state, service.reason = wanted, Service.WAITING, ""
            service.save(update_fields=["wanted", "state", "reason", "changed_at"])
        audit_signals.send(ACTIONS[wanted], service.name, before=before)
    return service


def restart(service: Service) -> Service:
    """Have the service start anew, which also ends a wait after failures.

    Raises
    ------
    Conflict
        If it is to be stopped.
    """
    if service.wanted != Service.RUNNING:
        raise Conflict(f"service {service.name} is stopped: run it instead")
    with transaction_for_writing():
        Service.objects.filter(pk=service.pk).update(
            generation=F("generation") + 1, state=Service.WAITING, reason="", changed_at=datetime.now(UTC)
        )
        audit_signals.send("service.restart", service.name)
    return find(service.name)


def listing() -> list[dict[str, Any]]:
    """Return the services by name, as the API shows them."""
    return described(list(_there().order_by("name")))


def of_version(registered_model: str, version: int) -> list[Service]:
    """Return the services that run a version of a registered model, by name."""
    return list(_there().filter(registered_model=registered_model, model_version=version).order_by("name"))


def _there() -> QuerySet[Service]:
    return Service.objects.exclude(wanted=Service.DELETED).select_related("cluster")


def described(found: list[Service]) -> list[dict[str, Any]]:
    """Return services as the API shows them."""
    agents = {
        agent.cluster_id: agent for agent in ServiceAgent.objects.filter(cluster__in=[one.cluster_id for one in found])
    }
    return [_described(one, agents.get(one.cluster_id)) for one in found]


def contact(agent: ServiceAgent | None) -> str:
    """Return ``ok``, ``silent``, or ``never``: whether the agent is in contact."""
    if agent is None:
        return "never"
    return "silent" if datetime.now(UTC) - agent.seen_at > sessions.SILENT else "ok"


def _described(one: Service, agent: ServiceAgent | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "cluster": one.cluster.name,
        "description": one.description,
        "registered_model": one.registered_model or None,
        "model_version": one.model_version,
        "image": one.image,
        "port": one.port,
        "limits": {name: getattr(one, name) for name in LIMITS},
        "start_seconds": one.start_seconds,
        "sample": loads(one.sample),
        "wanted": one.wanted,
        "generation": one.generation,
        "state": one.state,
        "reason": one.reason,
        "restarts": one.restarts,
        "contact": contact(agent),
        "seen_at": None if agent is None else agent.seen_at,
        "is_allowed": agent is not None and one.image in loads(agent.images),
        "changed_at": one.changed_at,
        "created_at": one.created_at,
        "created_by": one.created_by,
    }


def _audited(one: Service) -> dict[str, Any]:
    fields = ("image", "port", *LIMITS, "registered_model", "model_version", "wanted", "generation")
    return {"cluster": one.cluster.name, **{name: getattr(one, name) for name in fields}}
