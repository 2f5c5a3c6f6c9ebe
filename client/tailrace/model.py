"""One model: asked, looked at, drawn, downloaded."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.errors import Forbidden, TailraceError, Unusable
from tailrace.metrics import History, Metrics, unit_of
from tailrace.predicting import Predictor
from tailrace.progress import Bar
from tailrace.results import Facts, made
from tailrace.tables import shown

if TYPE_CHECKING:
    from tailrace.client import Client
    from tailrace.pictures import Picture
    from tailrace.stream import Stream

__all__ = ["Model", "ModelFailed", "StillLearning"]

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


class ModelFailed(TailraceError):
    """The model could not learn the stream's history, or is in quarantine: delete it and make it anew, or release it."""


class StillLearning(TailraceError, TimeoutError):
    """The model has not learned the stream's history within the time that was given."""


class Model:
    """A handle on one model; nothing is asked of the server before it is used.

    Attributes
    ----------
    name
        The model's.
    predict
        Ask it: ``model.predict(x=8, y=16, z=8)``; see `Predictor`.
    at
        The observation as of which it is looked at; None for now.
    """

    def __init__(self, client: Client, name: str, at: int | None = None) -> None:
        self._client = client
        self.name = name
        self.at = at
        self.predict = Predictor(self)
        self._known: Mapping[str, Any] | None = None
        self._unit: str | None = None

    def info(self) -> Facts:
        """The model as the server describes it: recipe, progress, hyperparameters, metrics."""
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
            (name, f"{shown(value)} {unit_of(name, self.unit)}".rstrip())
            for name, value in data.get("metrics", {}).items()
            if data.get("learned")
        ]
        lines.append(("made", made(data)))
        as_of = "" if self.at is None else f" as of observation {self.at}"
        return Facts(f"model {self.name}{as_of}", data, [line for line in lines if line[1] not in (None, "", {})])

    @property
    def stream(self) -> Stream:
        """The stream that it learns from."""
        return self._client.stream(self._declared()["stream"])

    @property
    def unit(self) -> str:
        """The target's unit, such as ``s``; empty where it has none, or where the token may not read it."""
        if self._unit is None:
            try:
                self._unit = self.stream.unit
            except Forbidden:
                self._unit = ""
        return self._unit

    @property
    def features(self) -> dict[str, str]:
        """Feature to kind: what `predict` takes; see `Stream.features`."""
        return self.stream.features

    def metrics(self, segment: str | None = None) -> Metrics:
        """Prequential metrics: overall, over the rolling window, and by segment.

        Parameters
        ----------
        segment
            Only this value of the stream's segment feature.
        """
        return Metrics(self._send("GET", "metrics/", at=self.at, segment=segment), self.unit)

    def history(self) -> History:
        """The curve of the metrics: at most 512 points at any length of the stream."""
        return History(self._send("GET", "history/"), self.unit)

    def stats(self) -> Facts:
        """Accepted calls of predict and learn, and how long they took."""
        data = self._send("GET", "stats/")
        lines = [
            (call, f"{data[call]['n_calls']} calls, mean {data[call]['mean_duration_human']}")
            for call in ("predict", "learn")
        ]
        return Facts(f"calls of model {self.name}", data, lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self._client, self.name, self.at)

    def as_of(self, n: int) -> Model:
        """The model as it was after observation `n`: its `info`, `metrics` and `download` are those of then."""
        try:
            return Model(self._client, self.name, operator.index(n))
        except TypeError:
            raise Unusable(f"as_of({n!r}): expected the number of an observation, such as 120") from None

    def download(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The estimator, to ask and to train without the server.

        The server sends a pickle, and reading a pickle runs what it says: read only what came from a server that you
        trust, over a connection that you trust.

        Parameters
        ----------
        path
            Where to save the pickle, for ``pickle.load`` on a machine with river; None reads it here and now.

        Returns
        -------
        The path; or without one the estimator, whose ``predict_one`` and ``learn_one`` are river's.

        Raises
        ------
        MissingExtra
            If it is to be read here and river is not installed.
        """
        from tailrace.downloading import download, load

        data = self._client.receive(self._path("download/"), self._query(at=self.at), stream=self._stream_name())
        return load(data, self.name) if path is None else download(data, Path(path))

    def wait(self, timeout: float | None = None) -> Model:
        """Wait until it has learned the stream's history and serves; give up after `timeout` seconds.

        A terminal is shown how far it is.

        Raises
        ------
        ModelFailed
            If it could not learn it.
        StillLearning
            If it still learns: a TimeoutError, too.
        """
        with closing(self._pauses(timeout)) as pauses:
            for pause in pauses:
                time.sleep(pause)
        return self

    def _pauses(self, timeout: float | None) -> Generator[float, None, None]:
        """Seconds to wait before each further look; ends once it serves. Raises as `wait` does."""
        ends = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        bar = Bar(None)
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
        """Let the model out of quarantine, after the server has tried it in a process of its own.

        What it skipped meanwhile it never learns. It catches up with the log first: :meth:`wait` waits for that.

        Raises
        ------
        Conflict
            If it isn't in quarantine, or fails the trial.
        Forbidden
            If it is somebody else's.
        """
        self._send("POST", "release/")
        return self

    def delete(self) -> None:
        """Delete the model; the stream's log stays."""
        self._send("DELETE", "")

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw how its error drifts, and save the picture if a path is given.

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        """
        from tailrace.plots import draw_history

        return draw_history([self.history()], path)

    def scatter(self, last: int | str | os.PathLike[str] = 1000, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw predicted against actual values, as it predicted the `last` observations before it learned them.

        A path is where to save it, also as the only argument: ``scatter("fit.png")``.

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        """
        from tailrace.plots import draw_scatter
        from tailrace.reading import pairs

        if not isinstance(last, int):
            path = last if path is None else path
            last = 1000
        stream = self.stream
        found = pairs(stream.observations(after=max(0, stream.head - last)), self.name)
        return draw_scatter(self.name, found, self.unit, path)

    def _declared(self) -> Mapping[str, Any]:
        if self._known is None:
            self._known = self._client.send("GET", self._path(""))
        return self._known

    def _stream_name(self) -> str | None:
        # The first request can't know it; those after it let a router send them to where the replica is.
        return None if self._known is None else self._known["stream"]

    def _path(self, below: str) -> str:
        return self._client.path("models", self.name) + below

    def _query(self, **parameters: Any) -> dict[str, Any]:
        return {name: value for name, value in parameters.items() if value is not None}

    def _send(self, method: str, below: str, body: Any = None, **query: Any) -> Any:
        path, query = self._path(below), self._query(**query)
        return self._client.send(method, path, body, query=query, stream=self._stream_name())

    def __repr__(self) -> str:
        return self._client.shown(self.info, f"model {self.name}")

    def _repr_html_(self) -> str:
        return self._client.shown_html(self.info, f"model {self.name}")


def _skipped(data: Mapping[str, Any]) -> str | None:
    if not data.get("skipped"):
        return None
    last = data["last_skip"]
    return f"{data['skipped']}, last {last['seq']}: {last['reason']}" if last else str(data["skipped"])
