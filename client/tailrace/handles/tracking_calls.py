"""The client's calls for experiments and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace.handles.session import Session
from tailrace.handles.tracked_experiment import TrackedExperiment, find_runs
from tailrace.handles.tracked_run import TrackedRun
from tailrace.results.facts import Listing
from tailrace.results.tracking_tables import RunListing, experiment_table

__all__ = ["TrackingCalls"]


class TrackingCalls(Session):
    """A session with the calls for experiments and runs. `Client` inherits from it."""

    def experiment(self, name: str) -> TrackedExperiment:
        """Returns a handle on the experiment `name`. Sends no request."""
        return TrackedExperiment(self, name)

    def experiments(self) -> Listing:
        """Returns the experiments, as a list that shows itself as a table."""
        found = self._list("experiments")
        return Listing(found, experiment_table(found, f"experiments on {self.server.url}"))

    def create_experiment(
        self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None
    ) -> TrackedExperiment:
        """Create an experiment. A run also creates the experiment that it names, if it is missing.

        Parameters
        ----------
        name
            Any text of at most 500 characters.
        description, tags
            For people and for searches.

        Raises
        ------
        Refused
            If the name is taken (status 409).
        """
        body = {"name": name, "description": description, "tags": dict(tags or {})}
        self.send("POST", self.path("experiments"), body)
        return self.experiment(name)

    def run(self, uid: str) -> TrackedRun:
        """Returns a handle on the run with this identifier. Sends no request."""
        return TrackedRun(self, uid)

    def runs(
        self,
        *,
        experiments: Sequence[str] | None = None,
        filter: str | None = None,
        order: Sequence[str] | str | None = None,
        columns: Sequence[str] | None = None,
        statuses: Sequence[str] | None = None,
        name: str | None = None,
        parent: str | None = None,
        created_by: str | None = None,
        lifecycle: str = "active",
        limit: int | None = None,
    ) -> RunListing:
        """Returns runs. `RunListing.to_frame` makes a pandas DataFrame of them.

        Parameters
        ----------
        experiments
            Names of experiments. None: all.
        filter
            Conditions in MLflow's grammar, such as ``metrics.loss < 0.1 AND params.optimizer = 'adam'``. None: all runs.
        order
            Columns to order by, such as ``metrics.loss`` or ``params.width DESC``. None: those that started last first.
        columns
            What is wanted of each run, such as ``metrics.loss``, ``params.lr`` and ``tags.team``. None: all that it
            logged.
        statuses
            ``RUNNING``, ``SCHEDULED``, ``FINISHED``, ``FAILED`` and ``KILLED``. None: any.
        name
            A part of the name.
        parent
            Identifier of the run that they belong to. Empty: those that belong to none.
        created_by
            Name of a user.
        lifecycle
            ``active``, ``deleted`` or ``all``.
        limit
            Most runs. None: all.
        """
        asked = {
            "experiments": experiments, "filter": filter, "order": [order] if isinstance(order, str) else order, "columns": columns, "statuses": statuses, "name": name, "parent": parent,
            "created_by": created_by, "lifecycle": lifecycle,
        }  # fmt: skip
        return find_runs(self, limit, f"runs on {self.server.url}", asked)
