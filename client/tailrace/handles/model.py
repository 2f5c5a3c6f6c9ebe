"""`Model`: a handle on one model, for predictions, metrics, plots and download."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.display.progress_bar import ProgressBar
from tailrace.display.tables import format_value
from tailrace.errors import TailraceError
from tailrace.handles.model_requests import ModelRequests
from tailrace.handles.predictor import Predictor
from tailrace.handles.stream import observation_number
from tailrace.results.facts import Facts, created_text
from tailrace.results.metrics import History, Metrics, unit_of

if TYPE_CHECKING:
    from tailrace.handles.session import Session
    from tailrace.pictures.figures import Picture

__all__ = ["Model", "ModelFailed", "StillLearning"]

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


class ModelFailed(TailraceError):
    """The model could not learn the stream's history (delete and create it again) or is in quarantine (release it)."""


class StillLearning(TailraceError, TimeoutError):
    """The model has not learned the stream's history within the given time."""


class Model(ModelRequests):
    """A handle on one model. Creating it sends no request.

    Attributes
    ----------
    name
        Name of the model.
    predict
        Predicts: ``model.predict(x=8, y=16, z=8)``. See `Predictor`.
    at
        Number of the observation after which the model is inspected. None: the current state.
    """

    def __init__(self, session: Session, name: str, at: int | None = None) -> None:
        super().__init__(session, name, at)
        self.predict = Predictor(self)

    def info(self) -> Facts:
        """Returns the server's description of the model: recipe, progress, hyperparameters, metrics."""
        data = self._send("GET", "", at=self.at)
        self._known = data
        lines: list[tuple[str, Any]] = [
            ("stream", data["stream"]),
            ("recipe" if data["recipe"] else "flavor", data["recipe"] or data["flavor"]),
            ("parameters", data["parameters"]),
            ("status", data["status"]),
            ("error", data.get("error")),
            ("observations", f"{data.get('at', data['progress'])} of {data['head']}"),
            ("learned", data.get("learned")),
            ("skipped", _skipped(data)),
            ("estimator", None if data["recipe"] else data.get("estimator")),
        ]
        lines += [
            (name, f"{format_value(value)} {unit_of(name, self.unit)}".rstrip())
            for name, value in data.get("metrics", {}).items()
            if data.get("learned")
        ]
        lines.append(("made", created_text(data)))
        as_of = "" if self.at is None else f" as of observation {self.at}"
        return Facts(f"model {self.name}{as_of}", data, [line for line in lines if line[1] not in (None, "", {})])

    def metrics(self, segment: str | None = None) -> Metrics:
        """Returns prequential metrics: overall, over the rolling window, and by segment.

        Parameters
        ----------
        segment
            A value of the stream's segment feature. If given, return its metrics only.
        """
        return Metrics(self._send("GET", "metrics/", at=self.at, segment=segment), self.unit)

    def history(self) -> History:
        """Returns the metrics over time, at no more than 512 points."""
        return History(self._send("GET", "history/"), self.unit)

    def record(self, first: int | None = None, last: int | None = None) -> Any:
        """Returns what the model predicted for each observation before it learned it. A terminal shows the progress.

        Parameters
        ----------
        first, last
            Range of observations. None: from the first that is recorded, and to the last.

        Returns
        -------
        A pandas DataFrame with one row for each observation, indexed by ``n``. Its columns are ``at`` (UTC), ``segment``,
        ``y``, ``prediction``, ``scored``, ``skipped``, ``lower`` and ``upper`` (the 95 % interval), and ``q50`` to
        ``q99`` (upper bounds of a time), without those that the model doesn't give. ``frame.attrs["behind"]`` is the
        number of observations that the server has not recorded yet. Without pandas, a `Record`, which shows itself as a
        table.
        """
        from tailrace.handles.record_reader import record
        from tailrace.optional_dependencies import MissingExtra

        found = record(self._session, self.name, first, last, self.unit)
        try:
            return found.to_frame()
        except MissingExtra:
            return found

    def stats(self) -> Facts:
        """Returns the number of accepted calls of predict and learn, and their mean duration."""
        data = self._send("GET", "stats/")
        lines = [
            (call, f"{data[call]['n_calls']} calls, mean {data[call]['mean_duration_human']}")
            for call in ("predict", "learn")
        ]
        return Facts(f"calls of model {self.name}", data, lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self._session, self.name, self.at)

    def as_of(self, n: int) -> Model:
        """Returns a handle on the state after observation `n`, for `info`, `metrics` and `download`."""
        return Model(self._session, self.name, observation_number(n, "as_of"))

    def download(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Download the estimator, to use it without the server.

        The server sends a pickle. Loading a pickle runs code from it, so load only what comes from a server that you
        trust, over a connection that you trust.

        Parameters
        ----------
        path
            File to save the pickle to, for ``pickle.load`` on a machine with river. None: load it now.

        Returns
        -------
        `path`, or the estimator if `path` is None. It is a river estimator with ``predict_one`` and ``learn_one``.

        Raises
        ------
        MissingExtra
            If `path` is None and river is not installed.
        UnreadableModel
            If `path` is None and the installed packages cannot load the estimator.
        """
        from tailrace.handles.model_download import download, load

        data = self._session.receive(self._path("download/"), self._query(at=self.at), stream=self._stream_name())
        return load(data, self.name) if path is None else download(data, Path(path))

    def wait(self, timeout: float | None = None) -> Model:
        """Wait until the model has learned the stream's history. A terminal shows the progress.

        Parameters
        ----------
        timeout
            Seconds to wait at most. None: no limit.

        Raises
        ------
        ModelFailed
            If the model could not learn the history, or is in quarantine.
        StillLearning
            If it has not learned the history after `timeout` seconds. This is also a TimeoutError.
        """
        with closing(self._pauses(timeout)) as pauses:
            for pause in pauses:
                time.sleep(pause)
        return self

    def _pauses(self, timeout: float | None) -> Generator[float, None, None]:
        """Yields the seconds to wait before each next request; ends when the model is ready. Raises like `wait`."""
        ends = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        bar = ProgressBar(None)
        try:
            while True:
                data = self._send("GET", "")
                bar.total = data["head"]
                bar.show(data["progress"])
                if data["status"] == "failed":
                    raise ModelFailed(f"model {self.name} could not learn the stream's history: {data.get('error')}")
                if data["status"] == "quarantined":
                    raise ModelFailed(f"model {self.name} is in quarantine: {data.get('error')}")
                if data["status"] != "backfilling":
                    return
                if ends is not None and time.monotonic() + pause > ends:
                    learned = f"{data['progress']} of {data['head']} observations"
                    raise StillLearning(f"model {self.name} has learned {learned}")
                yield pause
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            bar.clear()

    def release(self) -> Model:
        """Release the model from quarantine. The server tries it in a separate process first.

        The model never learns the observations that it skipped during the quarantine. It first catches up with the log;
        :meth:`wait` waits for that.

        Raises
        ------
        Conflict
            If the model is not in quarantine, or fails the trial.
        Forbidden
            If the model belongs to another user.
        """
        self._send("POST", "release/")
        return self

    def delete(self) -> None:
        """Delete the model. The stream's log stays."""
        self._send("DELETE", "")

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw the model's error over time, and save the picture if `path` is given.

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        """
        from tailrace.pictures.model_plots import draw_history

        return draw_history([self.history()], path)

    def scatter(self, last: int | str | os.PathLike[str] = 1000, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw predicted against actual values. Each prediction was made before the model learned the observation.

        Parameters
        ----------
        last
            How many of the latest observations to draw. The path may take its place: ``scatter("fit.png")``.
        path
            File to save the picture to. None: do not save it.

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        """
        from tailrace.handles.log_reader import pairs
        from tailrace.pictures.model_plots import draw_scatter

        if not isinstance(last, int):
            path = last if path is None else path
            last = 1000
        stream = self.stream
        found = pairs(stream.observations(after=max(0, stream.head - last)), self.name)
        return draw_scatter(self.name, found, self.unit, path)

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"model {self.name}")

    def _repr_html_(self) -> str:
        return self._session.shown_html(self.info, f"model {self.name}", self.page_url)


def _skipped(data: Mapping[str, Any]) -> str | None:
    if not data.get("skipped"):
        return None
    last = data["last_skip"]
    return f"{data['skipped']}, last {last['seq']}: {last['reason']}" if last else str(data["skipped"])
