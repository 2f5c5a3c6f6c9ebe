"""The demo's stream and models on a server: made once, asked for predictions, metrics and the log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from tailrace.errors import Refused
from tailrace.server import Server, observations_path

from lammps_jobs.plan import Plan, PlanError
from lammps_jobs.run import Job

__all__ = ["RuntimeStream", "with_free_names"]

FEATURES = ("x", "y", "z", "processes")
PAGE = 1000
LEVEL = 0.95
MOST_RUNS = 1000


class RuntimeStream:
    """One plan's stream and models on one server. Its methods raise what `Server.request` raises.

    Parameters
    ----------
    server
        With a token that can read the stream and ask its models.
    """

    def __init__(self, server: Server, plan: Plan) -> None:
        self._server = server
        self._plan = plan

    def said(self, number: int) -> dict[str, Any]:
        """What each model had predicted for an observation before it was learned."""
        (observation,) = self._page(number - 1, limit=1)
        said: dict[str, Any] = observation.get("predictions", {})
        return said

    def ensure(self, owner: Server) -> None:
        """Make the stream and the models that aren't there yet, as their owner."""
        name = self._plan.stream
        stream = {
            "name": name,
            "target": {"name": "loop_time", "unit": "s"},
            "features": dict.fromkeys(FEATURES, "number"),
            "description": "Loop time of a Cu-Zr melt repeated x, y, z times, run by LAMMPS (make demo)",
        }
        _ensure(owner, f"/api/v1/streams/{quote(name)}/", "/api/v1/streams/", stream)
        for recipe, model in self._plan.models.items():
            body = {"name": model, "stream": name, "recipe": recipe}
            _ensure(owner, f"/api/v1/models/{quote(model)}/", "/api/v1/models/", body)

    def keys(self) -> set[str]:
        """The idempotency keys of all observations in the log."""
        keys: set[str] = set()
        after = 0
        while observations := self._page(after):
            keys.update(one["key"] for one in observations if one.get("key") is not None)
            after = observations[-1]["seq"]
        return keys

    def predict(self, job: Job) -> dict[str, Any]:
        """Each model's answer for a job: ``prediction``, ``at`` and perhaps a 95 % ``interval``; nothing is learned."""
        body = {"x": job.features, "level": LEVEL}
        return {
            model: self._server.request("POST", f"/api/v1/models/{quote(model)}/predict/", body)
            for model in self._plan.models.values()
        }

    def metrics(self) -> dict[str, Any]:
        """Each model's prequential metrics, as the server counts them."""
        return {
            model: self._server.request("GET", f"/api/v1/models/{quote(model)}/metrics/")
            for model in self._plan.models.values()
        }

    def _page(self, after: int, limit: int = PAGE) -> list[dict[str, Any]]:
        path = f"{observations_path(self._plan.stream)}?after={after}&limit={limit}"
        observations: list[dict[str, Any]] = self._server.request("GET", path)["observations"]
        return observations


def with_free_names(server: Server, plan: Plan) -> Plan:
    """`plan` with the lowest number under which its stream and its models do not exist yet."""
    for run in range(1, MOST_RUNS):
        candidate = replace(plan, run=run)
        paths = [f"/api/v1/streams/{candidate.stream}/"]
        paths += [f"/api/v1/models/{model}/" for model in candidate.models.values()]
        if not any(_exists(server, path) for path in paths):
            return candidate
    raise PlanError(f"the names {plan.stream} to {plan.stream}-{MOST_RUNS - 1} are all taken on {server.url}")


def _ensure(server: Server, path: str, collection: str, body: dict[str, Any]) -> None:
    if _exists(server, path):
        return
    try:
        server.request("POST", collection, body)
    except Refused as error:
        # A first try whose answer got lost has made it.
        if error.status != 409 or not _exists(server, path):
            raise


def _exists(server: Server, path: str) -> bool:
    try:
        server.request("GET", path)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True
