"""Following models as they learn: a table of each error, a picture of the drift, an alarm where there is some."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.drift_table import DriftTable
from tailrace.errors import NotFound, TailraceError, Unusable
from tailrace.extras import needs
from tailrace.following import Follower, Row
from tailrace.pictures import check_format

if TYPE_CHECKING:
    from tailrace.client import Client

__all__ = ["LogChanged", "News", "Watch"]

WINDOW = 100
ROWS_AT_ONCE = 20_000
LABELS = ("binary", "multiclass")
WITHOUT_ERROR = ("cluster", "neighbor")


class LogChanged(TailraceError):
    """The table tells of observations that the log doesn't have: it belongs to another log; move the file away."""


class News(NamedTuple):
    """What one look at a model brought.

    Attributes
    ----------
    head
        The last observation of its stream.
    errors
        How many errors are known in all.
    rolling_error
        Mean absolute error of the latest ones, in `unit`.
    alarms
        The observations, among the new ones, at which drift was found.
    """

    model: str
    head: int
    errors: int
    rolling_error: float | None
    unit: str
    alarms: list[int]


class Watch:
    """Follows any number of models by their streams' logs, observation by observation, so that no error is missed.

    Parameters
    ----------
    client
        The server.
    models
        Their names.
    csv
        The table: where it exists, the watch goes on after its last observation of each model.
    plot
        The picture, drawn anew at each change.
    window
        Observations in the rolling error.
    after
        Begin after this observation, where the table says nothing of a model.

    Raises
    ------
    MissingExtra
        If river, or for a picture matplotlib, is not installed.
    ForeignTable
        If the table is another program's file.
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
        needs("river")
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
        """One a model, in the order of their names given; none before the first look."""
        return list(self._followers.values())

    def look(self) -> list[News]:
        """Read what is new, write table and picture if anything is, and tell what the models did.

        Raises
        ------
        NotFound
            If a model isn't there, or not any more.
        Unusable
            If a model is of a kind that has no error.
        LogChanged
            If the log is shorter than what is known of it.
        Refused, Unreachable
            As every request; what was written before stays, and the next look goes on there.
        """
        if not self._followers:
            self._followers = self._begin()
        known = {follower.model: len(follower.alarms) for follower in self.followers}
        heads = {stream: self._read(stream) for stream in dict.fromkeys(one.stream for one in self.followers)}
        self._draw()
        return [
            News(
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
        """Take what is new on one stream; its head."""
        here = [one for one in self.followers if one.stream == stream]
        data = self._client.stream(stream).info()
        there = {model["name"] for model in data["models"]}
        for one in here:
            if one.model not in there:
                raise NotFound(f"model {one.model} is no longer on stream {stream}: it was deleted", 404)
            if one.last > max(data["head"], self._after):
                raise LogChanged(
                    f"observation {one.last} of stream {stream} is known, but its log ends at {data['head']}: it is another "
                    "log. Move the table away"
                )
        rows: list[Row] = []
        try:
            for observation in self._new(here, stream, data["head"]):
                taken = (one.take(observation) for one in here if observation["seq"] > one.last)
                rows += [row for row in taken if row is not None]
                if len(rows) >= ROWS_AT_ONCE:
                    self._write(rows)
        finally:
            # What was taken before the server went away won't be read again.
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
        from tailrace.drift_picture import draw_drift

        draw_drift(self.followers, self._plot)
        self._drawn = shown


def follow(
    watch: Watch,
    *,
    every: float,
    until: int | None,
    fail_on_drift: bool,
    pause: Callable[[float], None],
    tell: Callable[[list[News]], None],
    trouble: Callable[[TailraceError | None], None],
) -> bool:
    """Look again and again.

    Parameters
    ----------
    every
        Seconds between two looks.
    until
        End once each model's stream has reached this observation; None goes on for ever.
    fail_on_drift
        End at the first look that finds drift.
    pause
        Waits so many seconds.
    tell
        Hears the news of each look.
    trouble
        Hears why the server can't be asked, and None when it can again.

    Returns
    -------
    Whether drift was found by `watch` in this run.
    """
    from tailrace.errors import TooMany, Unreachable

    drifted = away = False
    while True:
        try:
            news = watch.look()
        except (Unreachable, TooMany) as error:
            if not away:
                trouble(error)
            away = True
        else:
            if away:
                trouble(None)
            away = False
            tell(news)
            drifted = drifted or any(one.alarms for one in news)
            if (fail_on_drift and drifted) or (until is not None and all(one.head >= until for one in news)):
                return drifted
        pause(every)
