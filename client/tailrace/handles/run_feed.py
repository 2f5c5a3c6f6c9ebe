"""`RunFeed`: a handle on one feed: the finished runs of an experiment as observations of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.errors import Unusable
from tailrace.handles.experiment_lookup import experiment_path
from tailrace.results.facts import Listing
from tailrace.results.feed_tables import fed_run_table, feed_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.handles.session import Session
    from tailrace.results.facts import Facts

__all__ = ["RunFeed"]

MOST = 1000
"""Runs of one request."""


class RunFeed:
    """A handle on one feed of an experiment. Creating it sends no request.

    Attributes
    ----------
    experiment, stream
        Names of the experiment and of the stream.
    """

    def __init__(self, session: Session, experiment: str, stream: str) -> None:
        if not isinstance(stream, str):
            raise Unusable(f"{stream!r} is not the name of a stream: expected text")
        self._session = session
        self.experiment = experiment
        self.stream = stream

    def info(self) -> Facts:
        """Returns the server's description: params, target, how many runs were posted and left out."""
        return feed_facts(self._send("GET"), self.experiment)

    def runs(self, state: str | None = None) -> Listing:
        """Returns the runs of the feed with what became of them.

        Parameters
        ----------
        state
            Only those that are ``due``, ``posted`` or ``left_out``. None: all.
        """
        found: list[Mapping[str, Any]] = []
        query: dict[str, Any] = {"limit": MOST} if state is None else {"limit": MOST, "state": state}
        while True:
            page = self._send("GET", "runs", query=query)["runs"]
            found += page
            if len(page) < MOST:
                return Listing(found, fed_run_table(found, f"runs of the feed to {self.stream}"))
            query["after"] = page[-1]["number"]

    def backfill(self) -> int:
        """Post the runs, too, that finished before the feed was made, and look again at those that were left out.

        Returns how many runs are looked at now. A run is never posted twice.
        """
        return int(self._send("POST", "backfill")["queued"])

    def delete(self) -> None:
        """Delete the feed. What was posted stays in the stream."""
        self._send("DELETE")

    def _send(self, method: str, *parts: str, query: dict[str, Any] | None = None) -> Any:
        path = experiment_path(self._session, self.experiment, "feeds", self.stream, *parts)
        return self._session.send(method, path, query=query)

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"feed of {self.experiment} to {self.stream}")
