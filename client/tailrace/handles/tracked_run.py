"""`TrackedRun`: a handle on one run of an experiment: what it logged, its artifacts and links."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tailrace.atomic_files import replacing
from tailrace.errors import Unusable
from tailrace.results.tracking_tables import History, artifact_table, run_facts

if TYPE_CHECKING:
    from tailrace.handles.session import Session
    from tailrace.results.facts import Facts, Listing

__all__ = ["TrackedRun"]

POINTS = 10_000
"""Points of one request."""


class TrackedRun:
    """A handle on one run, to read it. Creating it sends no request. `tailrace.tracking` is what logs.

    Attributes
    ----------
    uid
        Identifier of the run: 32 hexadecimal digits.
    """

    def __init__(self, session: Session, uid: str) -> None:
        if not isinstance(uid, str):
            raise Unusable(f"{uid!r} is not the identifier of a run: expected text")
        self._session = session
        self.uid = uid

    def info(self) -> Facts:
        """Returns the server's description: params, tags, links, and the latest point of each metric."""
        return run_facts(self._fetch())

    @property
    def status(self) -> str:
        """The status now: ``RUNNING``, ``SCHEDULED``, ``FINISHED``, ``FAILED`` or ``KILLED``."""
        return str(self._fetch()["status"])

    def history(self, key: str) -> History:
        """Returns all points of a metric, by step.

        Parameters
        ----------
        key
            Name of the metric.

        Raises
        ------
        NotFound
            If the run has no such metric. The message names those that it has.
        """
        points: list[Mapping[str, Any]] = []
        query: dict[str, Any] | None = {"key": key, "limit": POINTS}
        while query is not None:
            page = self._session.send("GET", self._path("history"), query=query)
            points += page["points"]
            query = None if page["next"] is None else {**query, "after": page["next"]}
        return History(points, key, f"{key} of run {self.uid}")

    def artifacts(self, folder: str = "") -> Listing:
        """Returns the artifacts in a folder, and the folders in it. Empty: those at the top."""
        from tailrace.results.facts import Listing

        found = self._session.send("GET", self._path("artifacts"), query={"folder": folder})["artifacts"]
        return Listing(found, artifact_table(found, f"artifacts of run {self.uid}"))

    def download(self, path: str, to: str | Path | None = None) -> Path:
        """Download an artifact. If it fails, no file is changed.

        Parameters
        ----------
        path
            Path of the artifact.
        to
            Where to write it. None: in the current folder, with the artifact's own name.

        Returns
        -------
        Path
            The file.
        """
        target = Path(path.rpartition("/")[2] if to is None else to)
        address = f"{self._path('artifacts')}{quote(path)}"
        with replacing(target) as part, part.open("wb") as file:
            for piece in self._session.pieces(address, accept="*/*"):
                file.write(piece)
        return target

    def link(self, to: str, name: str, at: int | None = None) -> Facts:
        """Link the run to something on the server. Repeated, nothing changes.

        Parameters
        ----------
        to
            ``model``, ``stream``, ``calculation`` or ``cell``.
        name
            Its name or number.
        at
            Observation as of which it was used. None: not of one.
        """
        body = {"to": to, "name": str(name), "at": at}
        return run_facts(self._session.send("POST", self._path("links"), body))

    def tag(self, tags: Mapping[str, str | None]) -> Facts:
        """Set tags of the run; None deletes one."""
        return run_facts(self._session.send("PATCH", self._path(), {"tags": dict(tags)}))

    def delete(self) -> None:
        """Delete the run. `restore` brings it back until the server removes it for good, after 30 days by default."""
        self._session.send("DELETE", self._path())

    def restore(self) -> TrackedRun:
        """Restore the run after it was deleted."""
        self._session.send("POST", self._path("restore"))
        return self

    def _path(self, *parts: str) -> str:
        return self._session.path("runs", self.uid, *parts)

    def _fetch(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._session.send("GET", self._path())
        return found

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"run {self.uid}")
