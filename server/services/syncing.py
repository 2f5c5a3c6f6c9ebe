"""The exchange with model agents: they report the states of services, and get what is wanted."""

from datetime import UTC, datetime
from typing import Any

from server.calculations import sessions
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid
from server.core.json_codec import dumps_text, loads
from server.services import addresses
from server.services.models import Service, ServiceAgent

INTERVAL = 5
"""Seconds between two syncs."""


def sync(cluster_id: int | None, asked: dict[str, Any]) -> dict[str, Any]:
    """Take the reports of a model agent, and return the services that it is to have.

    Raises
    ------
    Unauthenticated, Conflict
        If the cluster was deleted or is disabled; Conflict also if another run of the agent has taken over.
    Invalid
        If the address isn't an address, or the secret can't be sent.
    """
    addresses.check_form(asked["address"])
    if not (asked["secret"].isascii() and asked["secret"].isprintable()):
        raise Invalid("secret can't be a part of a header: expected printable characters of ASCII", field="secret")
    with transaction_for_writing():
        cluster = sessions.locked_cluster(cluster_id)
        now = datetime.now(UTC)
        known = ServiceAgent.objects.filter(cluster=cluster).first()
        if known is not None and known.session != asked["session"] and not asked["begins"]:
            raise Conflict(
                f"another model agent of cluster {cluster.name} was started since: only one works for a cluster; stop this one, or "
                "start it again",
                code="superseded",
            )
        fields = {name: asked[name] for name in ("session", "address", "secret", "version")}
        ServiceAgent.objects.update_or_create(
            cluster=cluster, defaults={**fields, "images": dumps_text(asked["images"]), "seen_at": now}
        )
        services = {one.name: one for one in Service.objects.select_for_update().filter(cluster=cluster)}
        for report in asked["services"]:
            service = services.get(report["name"])
            if service is not None:
                _take(service, report, services)
        wanted = [_wanted(one) for one in services.values()]
    return {"cluster": cluster.name, "interval": INTERVAL, "services": wanted}


def _take(service: Service, report: dict[str, Any], services: dict[str, Service]) -> None:
    if service.wanted == Service.DELETED:
        if report["state"] == "deleted":
            del services[service.name]
            service.delete()
        return
    if report["generation"] != service.generation or report["wanted"] != service.wanted or report["state"] == "deleted":
        return  # of before the last request
    new = {"state": report["state"], "reason": report["reason"], "restarts": report["restarts"]}
    new["state_generation"] = report["generation"]
    if any(getattr(service, name) != value for name, value in new.items()):
        for name, value in new.items():
            setattr(service, name, value)
        service.save(update_fields=[*new, "changed_at"])


def _wanted(one: Service) -> dict[str, Any]:
    fields = ("name", "image", "port", "memory_mb", "cpus", "pids", "start_seconds", "wanted", "generation")
    return {**{name: getattr(one, name) for name in fields}, "sample": loads(one.sample)}
