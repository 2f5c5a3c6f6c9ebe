"""The demo's stream and models on a server: create them, predict, read metrics and the log."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tailrace.errors import Refused
from tailrace.transport.observation_requests import observations_path
from tailrace.transport.server import Server

from lammps_jobs.demo.plan import Plan
from lammps_jobs.demo_support.names import exists
from lammps_jobs.runs.lammps_job import Job

__all__ = ["RuntimeStream"]

FEATURES = ("x", "y", "z", "processes")
PAGE = 1000
LEVEL = 0.95


class RuntimeStream:
    """One plan's stream and models on one server. Its methods raise the errors of `Server.request`.

    Parameters
    ----------
    server
        Its token must allow to read the stream and to predict.
    """

    def __init__(self, server: Server, plan: Plan) -> None:
        self._server = server
        self._plan = plan

    def predictions_before_learning(self, number: int) -> dict[str, Any]:
        """Return each model's prediction for an observation before it was learned."""
        (observation,) = self._page(number - 1, limit=1)
        said: dict[str, Any] = observation.get("predictions", {})
        return said

    def ensure(self, owner: Server) -> None:
        """Create the stream and the models that don't exist yet. `owner` has the token of their owner."""
        name = self._plan.stream
        stream = {
            "name": name,
            "target": {"name": "loop_time", "unit": "s"},
            "features": dict.fromkeys(FEATURES, "number"),
            "description": "Loop time of a Cu-Zr melt repeated x, y, z times, run by LAMMPS (make demo)",
        }
        _ensure(owner, "streams", name, stream)
        for recipe, model in self._plan.models.items():
            body = {"name": model, "stream": name, "recipe": recipe}
            _ensure(owner, "models", model, body)

    def keys(self) -> set[str]:
        """Return the idempotency keys of all observations in the log."""
        keys: set[str] = set()
        after = 0
        while observations := self._page(after):
            keys.update(one["key"] for one in observations if one.get("key") is not None)
            after = observations[-1]["seq"]
        return keys

    def predict(self, job: Job) -> dict[str, Any]:
        """Return each model's answer for a job: ``prediction``, ``at`` and, if it has one, a 95 % ``interval``.

        Nothing is learned.
        """
        body = {"x": job.features, "level": LEVEL}
        return {
            model: self._server.request("POST", f"/api/v1/models/{quote(model)}/predict/", body)
            for model in self._plan.models.values()
        }

    def metrics(self) -> dict[str, Any]:
        """Return each model's prequential metrics from the server."""
        return {
            model: self._server.request("GET", f"/api/v1/models/{quote(model)}/metrics/")
            for model in self._plan.models.values()
        }

    def _page(self, after: int, limit: int = PAGE) -> list[dict[str, Any]]:
        path = f"{observations_path(self._plan.stream)}?after={after}&limit={limit}"
        observations: list[dict[str, Any]] = self._server.request("GET", path)["observations"]
        return observations


def _ensure(server: Server, kind: str, name: str, body: dict[str, Any]) -> None:
    if exists(server, kind, name):
        return
    try:
        server.request("POST", f"/api/v1/{kind}/", body)
    except Refused as error:
        # An earlier attempt, whose answer was lost, has created it.
        if error.status != 409 or not exists(server, kind, name):
            raise
