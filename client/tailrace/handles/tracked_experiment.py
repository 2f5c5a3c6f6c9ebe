"""`TrackedExperiment`: a handle on one experiment and its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tailrace.errors import Unusable
from tailrace.handles.experiment_lookup import experiment_path, fetch_experiment
from tailrace.handles.run_feed import RunFeed
from tailrace.results.facts import Listing
from tailrace.results.feed_tables import feed_table, prediction_table
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


def _names(params: Sequence[str]) -> Sequence[str]:
    if isinstance(params, str):
        raise Unusable(f"params is {params!r}: expected a list of names, or a mapping of names to kinds")
    return params


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

    def feeds(self) -> Listing:
        """Returns the feeds of the experiment: streams that its finished runs are posted to."""
        found = self._session.send("GET", self._path("feeds"))["feeds"]
        return Listing(found, feed_table(found, f"feeds of experiment {self.name}"))

    def feed(self, stream: str) -> RunFeed:
        """Returns a handle on the feed to `stream`. Sends no request."""
        return RunFeed(self._session, self.name, stream)

    def create_feed(
        self,
        stream: str,
        params: Mapping[str, str] | Sequence[str],
        *,
        metric: str | None = None,
        value: str = "last",
        backfill: bool = True,
    ) -> RunFeed:
        """Have the finished runs posted to a stream, each once, so that its models predict the next run.

        Parameters
        ----------
        stream
            Name of the stream, which must exist.
        params
            Names of params that are numbers, or name to kind (``number`` or ``category``). They become the features.
        metric
            The metric that is the target. None: the wall time, s.
        value
            Which value of the metric: the ``last``, the least (``min``) or the largest (``max``).
        backfill
            Whether runs that have finished already are posted, too.

        Raises
        ------
        Refused
            If the stream is not one for such points, or there is a feed to it already (status 409).
        """
        kinds = dict(params) if isinstance(params, Mapping) else dict.fromkeys(_names(params), "number")
        body = {"stream": stream, "params": kinds, "metric": metric, "value": value, "backfill": backfill}
        self._session.send("POST", self._path("feeds"), body)
        return self.feed(stream)

    def predict(self, params: Mapping[str, Any], *, stream: str | None = None, level: float = 0.95) -> Listing:
        """Predict a run before it is submitted, by the models of the streams that the experiment feeds.

        Parameters
        ----------
        params
            Params of the run, as it would log them.
        stream
            Only by models of this stream. None: of all.
        level
            Probability of the intervals.

        Returns
        -------
        For each feed its ``stream``, ``target``, ``unit``, ``x``, ``error``, and ``models``: a list with ``model``,
        ``prediction``, ``interval``, ``at``, ``error`` and ``warnings``.
        """
        body = {"params": dict(params), "stream": stream, "level": level}
        found = self._session.send("POST", self._path("predict"), body)["predictions"]
        return Listing(found, prediction_table(found, f"a run of experiment {self.name}"))

    def delete(self) -> None:
        """Delete the experiment with its runs. `restore` brings them back until the server removes them for good."""
        self._session.send("DELETE", self._path())

    def restore(self) -> TrackedExperiment:
        """Restore the experiment, with the runs that were deleted with it."""
        self._session.send("POST", self._path("restore"))
        return self

    def _path(self, *parts: str) -> str:
        return experiment_path(self._session, self.name, *parts)

    def _fetch(self) -> Mapping[str, Any]:
        return fetch_experiment(self._session, self.name)

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"experiment {self.name}")
