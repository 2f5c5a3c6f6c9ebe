"""`Service`: a handle on one service: a frozen copy of a model in a container."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from tailrace.errors import TailraceError, Unusable
from tailrace.results.service_tables import service_facts

if TYPE_CHECKING:
    from tailrace.handles.session import Session
    from tailrace.results.facts import Facts

__all__ = ["Service", "ServiceNotHealthy"]

PAUSE = 0.5


class ServiceNotHealthy(TailraceError, TimeoutError):
    """A service did not become healthy in the time that the caller would wait."""


class Service:
    """A handle on one service. Creating it sends no request.

    Attributes
    ----------
    name
        Name of the service.
    """

    def __init__(self, session: Session, name: str) -> None:
        if not isinstance(name, str):
            raise Unusable(f"{name!r} is not the name of a service: expected text")
        self._session = session
        self.name = name

    def info(self) -> Facts:
        """Returns the server's description: what is wanted, the state and its reason, limits."""
        return service_facts(self._session.send("GET", self._path()))

    @property
    def state(self) -> str:
        """The state now, such as ``healthy`` or ``backing off``."""
        return str(self._session.send("GET", self._path())["state"])

    def run(self) -> Service:
        """Have the service run, if it is stopped. Returns the handle."""
        return self._post("run")

    def stop(self) -> Service:
        """Stop the service. Returns the handle."""
        return self._post("stop")

    def restart(self) -> Service:
        """Start the service anew, at once. Returns the handle."""
        return self._post("restart")

    def delete(self) -> None:
        """Delete the service with its container."""
        self._session.send("DELETE", self._path())

    def invoke(self, body: Any) -> Any:
        """Predict by the service. Returns its answer.

        Parameters
        ----------
        body
            What its ``/invocations`` takes as JSON, such as ``{"instances": [{"x": 8}]}``.
        """
        return self._session.send("POST", self._path("invocations"), body)

    def wait(self, timeout: float | None = None) -> Service:
        """Wait until the service is healthy, and return the handle.

        Parameters
        ----------
        timeout
            Most seconds to wait; None for no limit.

        Raises
        ------
        ServiceNotHealthy
            If it isn't healthy by then, or its site refuses it.
        """
        for pause in self._pauses(timeout):
            time.sleep(pause)
        return self

    def _pauses(self, timeout: float | None) -> Generator[float, None, None]:
        """Yield how long to wait before asking again, until the service is healthy."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            found: Mapping[str, Any] = self._session.send("GET", self._path())
            if found["state"] == "healthy":
                return
            if found["state"] == "refused" or (deadline is not None and time.monotonic() >= deadline):
                why = found["reason"] or "no reason is told"
                raise ServiceNotHealthy(f"service {self.name} is {found['state']}: {why}")
            yield PAUSE

    def _post(self, action: str) -> Service:
        self._session.send("POST", self._path(action), {})
        return self

    def _path(self, *parts: str) -> str:
        return self._session.path("services", self.name, *parts)

    def __repr__(self) -> str:
        return f"<service {self.name} at {self._session.server.url}: .info(), .invoke(body) …>"
