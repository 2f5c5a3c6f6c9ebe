"""The client's calls for services."""

from __future__ import annotations

from typing import Any

from tailrace.handles.service import Service
from tailrace.handles.session import Session
from tailrace.results.facts import Listing
from tailrace.results.service_tables import service_table

__all__ = ["ServiceCalls"]


class ServiceCalls(Session):
    """A session with the calls for services. `Client` inherits from it."""

    def service(self, name: str) -> Service:
        """Returns a handle on the service `name`. Sends no request."""
        return Service(self, name)

    def services(self) -> Listing:
        """Returns the services, as a list that shows itself as a table."""
        found = self._list("services")
        return Listing(found, service_table(found, f"services on {self.server.url}"))

    def create_service(
        self,
        name: str,
        cluster: str,
        image: str,
        body: Any,
        expected: Any,
        *,
        tolerance: float = 1e-9,
        port: int | None = None,
        memory_mb: int | None = None,
        cpus: float | None = None,
        pids: int | None = None,
        start_seconds: int | None = None,
        description: str | None = None,
        registered_model: str | None = None,
        model_version: int | None = None,
    ) -> Service:
        """Ask the model agent of a cluster to run an image.

        Parameters
        ----------
        name, cluster
            Name of the service, and of the cluster whose model agent runs it.
        image
            The image by its digest. The agent's site must list it.
        body, expected
            A sample for ``/invocations``, and the answer that shows that the service is healthy.
        tolerance
            Relative difference of numbers in that answer that is allowed.
        port
            Port of the container. None: 8080.
        memory_mb, cpus, pids
            Limits of memory (MB), CPUs and processes. None: 1024, 1 and 128.
        start_seconds
            How long it may take to become healthy, s. None: 60.
        description
            For people.
        registered_model, model_version
            The version of a registered model that it runs, whose page then shows the service.
        """
        asked: dict[str, Any] = {
            "name": name, "cluster": cluster, "image": image, "port": port, "memory_mb": memory_mb, "cpus": cpus, "pids": pids,
            "start_seconds": start_seconds, "description": description, "registered_model": registered_model, "model_version": model_version,
        }  # fmt: skip
        asked = {key: value for key, value in asked.items() if value is not None}
        asked["sample"] = {"body": body, "expected": expected, "tolerance": tolerance}
        self.send("POST", self.path("services"), asked)
        return Service(self, name)
