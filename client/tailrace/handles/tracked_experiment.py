"""`TrackedExperiment`: a handle on one experiment and its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tailrace.errors import NotFound, Unusable
from tailrace.results.tracking_tables import RunListing, experiment_facts

if TYPE_CHECKING:
    from tailrace.handles.session import Session
    from tailrace.results.facts import Facts

__all__ = ["TrackedExperiment", "find_runs"]

MOST = 10_000
"""Runs of one request."""


def find_runs(session: Session, limit: int | None, caption: str, asked: Mapping[str, Any]) -> RunListing:
    """Returns runs, those that started last first. ``asked`` is what the request says; None is left out."""
    path = session.path("runs", "search")
    body = {name: value for name, value in asked.items() if value is not None}
    found: list[Mapping[str, Any]] = []
    while True:
        body["limit"] = MOST if limit is None else min(MOST, limit - len(found))
        page = session.send("POST", path, body)
        found += page["runs"]
        if page["next"] is None or (limit is not None and len(found) >= limit):
            return RunListing(found, caption)
        body["after"] = page["next"]


class TrackedExperiment:
    """A handle on one experiment. Creating it sends no request.

    Attributes
    ----------
    name
        Name of the experiment.
    """

    def __init__(self, session: Session, name: str) -> None:
        if not isinstance(name, str):
            raise Unusable(f"{name!r} is not the name of an experiment: expected text")
        self._session = session
        self.name = name

    def info(self) -> Facts:
        """Returns the server's description: number of runs, description, tags."""
        return experiment_facts(self._fetch())

    def runs(
        self,
        *,
        filter: str | None = None,
        order: Sequence[str] | str | None = None,
        columns: Sequence[str] | None = None,
        statuses: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> RunListing:
        """Returns the runs of the experiment. See `Client.runs`."""
        asked = {
            "experiments": [self.name], "filter": filter, "order": [order] if isinstance(order, str) else order,
            "columns": columns, "statuses": statuses,
        }  # fmt: skip
        return find_runs(self._session, limit, f"runs of experiment {self.name}", asked)

    def delete(self) -> None:
        """Delete the experiment with its runs. `restore` brings them back until the server removes them for good."""
        self._session.send("DELETE", self._path())

    def restore(self) -> TrackedExperiment:
        """Restore the experiment, with the runs that were deleted with it."""
        self._session.send("POST", self._path("restore"))
        return self

    def _path(self, *parts: str) -> str:
        return self._session.path("experiments", str(self._fetch()["id"]), *parts)

    def _fetch(self) -> Mapping[str, Any]:
        query = {"name": self.name, "lifecycle": "all"}
        found: list[Mapping[str, Any]] = self._session.send("GET", self._session.path("experiments"), query=query)[
            "experiments"
        ]
        if not found:
            raise NotFound(
                f"{self._session.server.url}: no experiment named {self.name!r}", 404, "not_found", "experiment"
            )
        return found[0]

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"experiment {self.name}")
