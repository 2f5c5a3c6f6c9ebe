"""`Watch`: follows models while they learn, detects drift, and writes a table of errors and a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.errors import NotFound, TailraceError, Unusable
from tailrace.optional_dependencies import require
from tailrace.pictures.figures import check_format
from tailrace.watch.error_table import DriftTable
from tailrace.watch.follower import Follower, Row

if TYPE_CHECKING:
    from tailrace.handles.client import Client

__all__ = ["LogChanged", "ModelUpdate", "Watch"]

WINDOW = 100
ROWS_PER_WRITE = 20_000
LABELS = ("binary", "multiclass")
WITHOUT_ERROR = ("cluster", "neighbor")


class LogChanged(TailraceError):
    """Observations in the table, or read earlier, are not in the log: it is another log. Move the table away."""


class ModelUpdate(NamedTuple):
    """News of one model.

    Attributes
    ----------
    head
        Number of the last observation of its stream.
    errors
        Number of all errors so far.
    rolling_error
        Mean of the latest errors, in `unit`.
    alarms
        Numbers of the new observations at which drift was detected.
    """

    model: str
    head: int
    errors: int
    rolling_error: float | None
    unit: str
    alarms: list[int]


class Watch:
    """Follows models. It reads every observation of their streams' logs, so it misses no error.

    Parameters
    ----------
    client
        The server.
    models
        Names of the models.
    csv
        File of the table. If it exists, the watch continues after the last observation of each model in it.
    plot
        File of the picture. It is redrawn at each change.
    window
        Number of observations in the rolling error.
    after
        Number of the observation after which to begin with a model that is not in the table.

    Raises
    ------
    MissingExtra
        If river, or for a picture matplotlib, is not installed.
    Unusable
        If matplotlib does not support the picture's format.
    """

    def __init__(
        self,
        client: Client,
        models: Sequence[str],
        *,
        csv: str | os.PathLike[str] | None = None,
        plot: str | os.PathLike[str] | None = None,
        window: int = WINDOW,
        after: int = 0,
    ) -> None:
        require("river")
        if plot is not None:
            check_format(plot)
        self._client = client
        self._names = list(dict.fromkeys(models))
        self._table = None if csv is None else DriftTable(csv)
        self._plot = None if plot is None else Path(plot)
        self._window = window
        self._after = after
        self._followers: dict[str, Follower] = {}
        self._drawn: tuple[tuple[int, int], ...] | None = None

    @property
    def followers(self) -> list[Follower]:
        """One follower for each model, in the order of the given names. Empty before the first `look`."""
        return list(self._followers.values())

    def look(self) -> list[ModelUpdate]:
        """Read the new observations, write table and picture if there are any, and return the news of each model.

        Raises
        ------
        NotFound
            If a model does not exist, or was deleted.
        Unusable
            If a model is of a flavor that has no error.
        ForeignTable
            If the table's file is not a table of errors, or another program changed it.
        LogChanged
            If the table does not belong to the log.
        Refused, Unreachable
            If a request fails. What was written before stays, and the next call continues there.
        """
        if not self._followers:
            self._followers = self._begin()
        known = {follower.model: len(follower.alarms) for follower in self.followers}
        heads = {stream: self._read(stream) for stream in dict.fromkeys(one.stream for one in self.followers)}
        self._draw()
        return [
            ModelUpdate(
                one.model, heads[one.stream], one.count, one.rolling_error, one.unit, one.alarms[known[one.model] :]
            )
            for one in self.followers
        ]  # fmt: skip

    def _begin(self) -> dict[str, Follower]:
        followers = {}
        for name in self._names:
            model = self._client.model(name)
            info = model.info()
            if info["flavor"] in WITHOUT_ERROR:
                raise Unusable(f"model {name} is of the flavor {info['flavor']}, which has no error to follow")
            labels = info["flavor"] in LABELS
            unit = "" if labels else model.unit
            followers[name] = Follower(
                name, info["stream"], unit, self._window, since=info["since"], after=self._after, labels=labels
            )
        for row in self._table.rows() if self._table is not None else ():
            follower = followers.get(row.model)
            if follower is None:
                continue
            if row.stream != follower.stream:
                raise LogChanged(
                    f"the table's model {row.model} was on stream {row.stream}, and is on {follower.stream} now: "
                    "move the table away"
                )
            follower.learn(row.seq, row.error)
        return followers

    def _read(self, stream: str) -> int:
        """Process the new observations of one stream, and return its head."""
        here = [one for one in self.followers if one.stream == stream]
        data = self._client.stream(stream).info()
        there = {model["name"] for model in data["models"]}
        for one in here:
            if one.model not in there:
                raise NotFound(f"model {one.model} is no longer on stream {stream}: it was deleted", 404)
            if one.last > max(data["head"], self._after):
                raise LogChanged(
                    f"observation {one.last} of stream {stream} was read earlier, but its log ends at {data['head']}: "
                    "it is another log. Move the table away"
                )
        rows: list[Row] = []
        try:
            for observation in self._new(here, stream, data["head"]):
                taken = (one.take(observation) for one in here if observation["seq"] > one.last)
                rows += [row for row in taken if row is not None]
                if len(rows) >= ROWS_PER_WRITE:
                    self._write(rows)
        finally:
            # Processed observations are not read again, so their rows must be written even after an error.
            self._write(rows)
        return int(data["head"])

    def _new(self, here: Sequence[Follower], stream: str, head: int) -> Iterator[Mapping[str, Any]]:
        after = min(one.last for one in here)
        return self._client.stream(stream).observations(after=after) if after < head else iter(())

    def _write(self, rows: list[Row]) -> None:
        if rows and self._table is not None:
            self._table.append(rows)
        rows.clear()

    def _draw(self) -> None:
        shown = tuple((one.count, len(one.alarms)) for one in self.followers)
        if self._plot is None or shown == self._drawn:
            return
        from tailrace.watch.drift_picture import draw_drift

        draw_drift(self.followers, self._plot)
        self._drawn = shown


def follow(
    watch: Watch,
    *,
    every: float,
    until: int | None,
    fail_on_drift: bool,
    pause: Callable[[float], None],
    report: Callable[[list[ModelUpdate]], None],
    report_outage: Callable[[TailraceError | None], None],
) -> bool:
    """Call ``watch.look`` repeatedly.

    Parameters
    ----------
    every
        Seconds between two calls.
    until
        Return once each model's stream has reached this observation. None: never.
    fail_on_drift
        Return as soon as drift is detected.
    pause
        Waits for the given number of seconds.
    report
        Gets the news of each call.
    report_outage
        Gets the error when the server becomes unavailable, and None when it is available again.

    Returns
    -------
    Whether `watch` detected drift during this call.
    """
    from tailrace.errors import TooMany, Unreachable

    drifted = away = False
    while True:
        try:
            news = watch.look()
        except (Unreachable, TooMany) as error:
            if not away:
                report_outage(error)
            away = True
        else:
            if away:
                report_outage(None)
            away = False
            report(news)
            drifted = drifted or any(one.alarms for one in news)
            if (fail_on_drift and drifted) or (until is not None and all(one.head >= until for one in news)):
                return drifted
        pause(every)
