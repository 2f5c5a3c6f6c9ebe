"""`Calculation`: a handle on one calculation: its state, results, logs and files."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.atomic_files import replacing
from tailrace.display.progress_bar import ProgressBar
from tailrace.errors import TailraceError, Unusable
from tailrace.results.facts import Facts, created_text
from tailrace.similar_names import UnknownName, did_you_mean, join_names

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.handles.session import Session

__all__ = ["Calculation", "CalculationFailed", "StillRunning"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
FAILED = ("unconverged", "failed", "cancelled", "undecided")
LOG_BYTES = 65_536
REPORTS = {"pdf": "pdf", "html": "html", "json": "json", "rocrate": "crate.zip"}
"""Formats of a report, and the endings of their files."""


class CalculationFailed(TailraceError):
    """A calculation ended without valid results, or a person must decide about it."""


class StillRunning(TailraceError, TimeoutError):
    """A calculation has not ended after the time that the caller would wait."""


class Calculation:
    """A handle on one calculation. Creating it sends no request.

    Attributes
    ----------
    id
        Number of the calculation.
    identical
        Whether the same was calculated before, so that nothing was submitted.
    """

    def __init__(self, session: Session, number: int, *, identical: bool = False) -> None:
        if isinstance(number, bool) or not isinstance(number, int):
            raise Unusable(f"{number!r} is not the number of a calculation: expected a whole number, such as 12")
        self._session = session
        self.id = number
        self.identical = identical

    def info(self) -> Facts:
        """Returns the server's description: state, steps with attempts and results, transitions."""
        data = self._fetch()
        lines = [
            ("name", data["name"]),
            ("program", data["program"]),
            ("structure", (data["structure"] or {}).get("formula")),
            ("cluster", data["cluster"] or data["wanted_cluster"]),
            ("state", data["state"]),
            ("why", "; ".join(_reasons(data))),
            ("steps", f"{data['done']} of {data['total']} done"),
            ("priority", data["priority"]),
            ("submitted", created_text(data)),
        ]
        return Facts(
            f"calculation {self.id}", data, [(name, value) for name, value in lines if value not in ("", None)]
        )

    @property
    def state(self) -> str:
        """The state now, such as ``running`` or ``done``."""
        return str(self._fetch()["state"])

    @property
    def page_url(self) -> str:
        """Address of the calculation's page on the server."""
        return self._session.page("calculations", str(self.id))

    def wait(self, timeout: float | None = None) -> Calculation:
        """Wait until all steps are done. A terminal shows the progress.

        Parameters
        ----------
        timeout
            Seconds to wait at most. None: no limit.

        Raises
        ------
        CalculationFailed
            If a step failed, did not converge or was cancelled, or if a person must decide about one.
        StillRunning
            If it has not ended after `timeout` seconds. This is also a TimeoutError.
        """
        with closing(self._pauses(timeout)) as pauses:
            for pause in pauses:
                time.sleep(pause)
        return self

    def _pauses(self, timeout: float | None) -> Generator[float, None, None]:
        """Yields the seconds to wait before each next request; ends when the calculation is done. Raises like `wait`."""
        ends = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        bar = ProgressBar(None)
        try:
            while True:
                data = self._fetch()
                bar.total = data["total"]
                bar.show(data["done"])
                if data["state"] == "done":
                    return
                if data["state"] in FAILED:
                    raise CalculationFailed(f"calculation {self.id} is {data['state']}: {'; '.join(_reasons(data))}")
                if ends is not None and time.monotonic() + pause > ends:
                    raise StillRunning(
                        f"calculation {self.id} is {data['state']}, with {data['done']} of {data['total']} steps done"
                    )
                yield pause
                pause = min(1.5 * pause, LONGEST_PAUSE)
        finally:
            bar.clear()

    @property
    def results(self) -> dict[str, Any]:
        """Values of the valid results. Of a calculation with several steps: for each step by its name."""
        chain = self._fetch()["chain"]
        found = {step["name"]: _values(step) for step in chain}
        return found if len(chain) != 1 else found[chain[0]["name"]]

    def to_frame(self) -> DataFrame:
        """Returns a pandas DataFrame with a row for each step: its parameters that differ between steps, its values, its state.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        from tailrace.optional_dependencies import require

        chain = self._fetch()["chain"]
        first = chain[0]["parameters"] if chain else {}
        varied = [name for name in first if any(step["parameters"].get(name) != first[name] for step in chain)]
        rows = [
            {**{name: step["parameters"].get(name) for name in varied}, **_values(step), "state": step["state"]}
            for step in chain
        ]
        pandas = require("pandas")
        return pandas.DataFrame(rows, index=pandas.Index([step["name"] for step in chain], name="step"))

    def log(self, step: str | None = None, *, tail: int = LOG_BYTES) -> str:
        """Returns the end of a step's log.

        Parameters
        ----------
        step
            Name of the step. None: the last one that has begun.
        tail
            Bytes of it.
        """
        chosen = self._step(step)
        path = self._path("steps", chosen["name"], "log")
        return str(self._session.send("GET", path, query={"tail": tail})["text"])

    def fetch(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Save the files of the valid results, in a folder for each step. Returns their paths.

        Raises
        ------
        NotWritten
            If a file cannot be written.
        """
        saved = []
        for step in self._fetch()["chain"]:
            for file in (step["result"] or {}).get("files", ()):
                target = Path(directory) / _file_name(step["name"]) / _file_name(file["name"])
                target.parent.mkdir(parents=True, exist_ok=True)
                path = self._path("steps", step["name"], "files", file["name"]).rstrip("/")
                with replacing(target) as part:
                    part.write_bytes(self._session.receive(path))
                saved.append(target)
        return saved

    def fetch_report(self, directory: str | os.PathLike[str], format: str = "pdf") -> Path:
        """Save the report: values, tables, pictures and provenance of the valid results. Returns its path.

        Parameters
        ----------
        directory
            Where it is saved, as ``calculation-ID`` with the ending of the format.
        format
            ``pdf``, ``html``, ``json``, or ``rocrate`` for a ZIP file with the report and all files.

        Raises
        ------
        Unusable
            If the format is unknown.
        NotWritten
            If the file cannot be written.
        """
        if format not in REPORTS:
            raise Unusable(f"format is {format!r}{did_you_mean(format, REPORTS)}: expected {join_names(REPORTS)}")
        target = Path(directory) / f"calculation-{self.id}.{REPORTS[format]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        content = self._session.receive(self._path("report"), {"format": format})
        with replacing(target) as part:
            part.write_bytes(content)
        return target

    def cancel(self, reason: str = "") -> Calculation:
        """Cancel the steps that have not ended."""
        return self._do("cancel", reason)

    def retry(self, reason: str = "") -> Calculation:
        """Run the steps again that failed, did not converge or were cancelled."""
        return self._do("retry", reason)

    def approve(self, reason: str = "") -> Calculation:
        """Approve it, if it needs approval. Needs the role of a moderator."""
        return self._do("approve", reason)

    def hold(self, reason: str = "") -> Calculation:
        """Hold the steps back that were not submitted yet."""
        return self._do("hold", reason)

    def release(self, reason: str = "") -> Calculation:
        """Release the steps that are held."""
        return self._do("release", reason)

    def delete(self, confirm: str) -> None:
        """Delete it permanently, once it has ended. Observations that it posted stay in their streams.

        Parameters
        ----------
        confirm
            Name of the calculation, to confirm that its results, files and logs are deleted, too.

        Raises
        ------
        Refused
            If it has not ended (status 409), or `confirm` is another name.
        Forbidden
            If it belongs to another user, and you are no admin.
        """
        self._session.send("DELETE", self._path(), query={"confirm": confirm})

    def _do(self, what: str, reason: str) -> Calculation:
        self._session.send("POST", self._path(what), {"reason": reason})
        return self

    def _step(self, name: str | None) -> Mapping[str, Any]:
        chain: list[Mapping[str, Any]] = self._fetch()["chain"]
        if name is None:
            begun = [step for step in chain if step["attempts"]] or chain
            return begun[-1]
        for step in chain:
            if step["name"] == name:
                return step
        known = [step["name"] for step in chain]
        raise UnknownName(
            f"calculation {self.id} has no step {name!r}{did_you_mean(name, known)}: there are {join_names(known)}"
        )

    def _fetch(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._session.send("GET", self._path())
        return found

    def _path(self, *parts: str) -> str:
        return self._session.path("calculations", str(self.id), *parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._session, self.id, self.identical)

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"calculation {self.id}")

    def _repr_html_(self) -> str:
        return self._session.shown_html(self.info, f"calculation {self.id}", self.page_url)


def _unpickled(session: Session, number: int, identical: bool) -> Calculation:
    return Calculation(session, number, identical=identical)


def _values(step: Mapping[str, Any]) -> dict[str, Any]:
    result = step["result"]
    return {} if result is None else {name: one["value"] for name, one in result["values"].items()}


def _reasons(data: Mapping[str, Any]) -> list[str]:
    if data["needs_approval"] and data["state"] == "needs approval":
        return [data["needs_approval"]]
    return [
        f"step {step['name']}: {step['reason']}" for step in data["chain"] if step["reason"] and step["state"] != "done"
    ]


def _file_name(name: str) -> str:
    """Returns a name that is a single file name, whatever the server sent."""
    safe = name.replace("/", "_").replace("\0", "_")
    return f"_{safe}" if safe in ("", ".", "..") else safe
