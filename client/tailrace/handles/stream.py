"""`Stream`: a handle on one stream: its log, exports, posts, plots."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tailrace.errors import Unusable
from tailrace.results.facts import Facts, Listing, created_text
from tailrace.transport.server import DEADLINE

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.handles.session import Session
    from tailrace.pictures.figures import Picture
    from tailrace.posting.post import Posted
    from tailrace.results.metrics import History

__all__ = ["Stream", "observation_number"]

RECENT = 100
"""Number of latest observations that are read to find the features of a stream that declares none."""


class Stream:
    """A handle on one stream. Creating it sends no request.

    Attributes
    ----------
    name
        Name of the stream.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.name = name
        self._known: Mapping[str, Any] | None = None

    def info(self) -> Facts:
        """Returns the server's description of the stream: target, features, head, counts, models."""
        data = self._fetch()
        target, counts = data["target"], data["counts"]
        unit = f" ({target['unit']})" if target["unit"] else ""
        lines = [
            ("description", data["description"]),
            ("target", f"{target['name']}{unit}, {target['kind']}"),
            ("features", "any" if data["features"] is None else data["features"]),
            ("segment", data["segment"]),
            ("observations", counts["observations"]),
            ("retracted", counts["retracted"]),
            ("expected", _expected(data.get("expected"))),
            ("models", [model["name"] for model in data["models"]]),
            ("made", created_text(data)),
        ]
        return Facts(f"stream {self.name}", data, [(name, value) for name, value in lines if value not in ("", None)])

    @property
    def page_url(self) -> str:
        """Address of the stream's page on the server."""
        return self._session.page("streams", self.name)

    @property
    def head(self) -> int:
        """Number of the last observation. Each use sends a request."""
        return int(self._fetch()["head"])

    @property
    def unit(self) -> str:
        """The target's unit, such as ``s``. Empty if it has none."""
        return str(self._declared()["target"]["unit"])

    @property
    def features(self) -> dict[str, str]:
        """Kind (number, boolean, category) of each feature: as declared, or else from the latest 100 observations."""
        data = self._declared()
        if data["features"] is not None:
            return dict(data["features"])
        found: dict[str, str] = {}
        for observation in self.observations(after=max(0, self.head - RECENT)):
            for name, value in observation["x"].items():
                kind = "boolean" if isinstance(value, bool) else "category" if isinstance(value, str) else "number"
                found.setdefault(name, kind)
        return found

    @property
    def models(self) -> list[str]:
        """Names of the models that learn from the stream."""
        return [model["name"] for model in self._fetch()["models"]]

    def post(
        self,
        x: Mapping[str, Any],
        y: Any,
        *,
        key: str | None = None,
        source: Mapping[str, Any] | None = None,
        deadline: float = DEADLINE,
        strict: bool = False,
    ) -> Posted:
        """Post one observation. See `Client.post`."""
        from tailrace.posting.post import post_or_raise

        return post_or_raise(
            self._session.server, self.name, x, y, key=key, source=source, deadline=deadline, strict=strict
        )

    def observations(self, after: int = 0, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yields the log's observations in order, each with the predictions that models made before they learned it.

        Parameters
        ----------
        after
            Only observations with a greater number than this.
        limit
            Largest number of observations. None: no limit.
        """
        from tailrace.handles.log_reader import observations

        return observations(self._session, self.name, after, limit)

    def tail(self, n: int = 10) -> Listing:
        """Returns the last `n` observations, shown as a table. Raises Unusable if `n` is not a whole number, at least 0."""
        from tailrace.handles.log_reader import observation_table

        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 0:
            raise Unusable(f"tail({n!r}): expected how many observations, such as 10")
        found = list(self.observations(after=max(0, self.head - n), limit=n))
        return Listing(found, observation_table(self.name, self.unit, found))

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        after: int = 0,
        limit: int | None = None,
        safe: Literal["excel"] | None = None,
    ) -> Path:
        """Write the log to a file, as CSV or NDJSON by the path's ending, in constant memory.

        If it fails, it leaves no file, or the one from before.

        Parameters
        ----------
        after, limit
            Only observations with a greater number than `after`, and at most `limit` of them.
        safe
            ``"excel"``: write CSV for spreadsheets. Text that looks like a formula gets an apostrophe in front, so that
            a spreadsheet does not calculate it.

        Returns
        -------
        The path.

        Raises
        ------
        Unusable
            If the path ends in none of ``.csv``, ``.ndjson`` and ``.jsonl``, or `safe` is given and the file is not
            CSV.
        Unreachable
            If the response ends early.
        """
        from tailrace.handles.log_reader import export

        return export(self._session, self.name, Path(path), after, limit, safe=safe)

    def to_frame(self, after: int = 0, limit: int | None = None) -> DataFrame:
        """Returns the log as a pandas DataFrame, indexed by ``seq``.

        The columns are ``at``, ``y``, ``x.<feature>`` and ``prediction.<model>``, and ``key`` and ``retracted`` if any
        observation has them.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        from tailrace.results.data_frames import observations_frame

        return observations_frame(self.observations(after, limit))

    def retract(self, seq: int, reason: str) -> Facts:
        """Mark an observation as wrong. The server rebuilds the stream's models without it while they serve."""
        number = observation_number(seq, "retract")
        path = self._session.path("streams", self.name, "observations", str(number), "retract")
        data = self._session.send("POST", path, {"reason": reason}, stream=self.name)
        lines = [("observation", data["seq"]), ("reason", data["reason"]), ("rebuilt", data["models"])]
        return Facts(f"retracted from {self.name}", data, lines)

    def expect(self, every: float | str | None, grace: float | str = 0) -> None:
        """Set how often the stream should get observations.

        If none arrives for longer, the stream is *late*, and later *silent*. `info` and the server's metrics show this.

        Parameters
        ----------
        every
            Longest time between two observations: seconds, at least 60, or a text such as ``"1d"`` or ``"2h30m"``.
            None: no observations are expected.
        grace
            Additional time during which the stream is late, before it is silent.

        Raises
        ------
        Unusable
            If a text is not a duration.
        Refused
            If the server refuses the values. `Forbidden` if the stream belongs to another user.
        """
        expected = None if every is None else {"every": _seconds(every), "grace": _seconds(grace)}
        self._session.send("PATCH", self._session.path("streams", self.name), {"expected": expected}, stream=self.name)

    def delete(self, confirm: str | None = None) -> None:
        """Delete the stream permanently. A stream that was ever used needs a confirmation.

        Parameters
        ----------
        confirm
            Name of the stream, to confirm that its observations, models, stored predictions, cells and databases are
            deleted, too.

        Raises
        ------
        Refused
            If the stream was used and `confirm` is missing (status 409), or `confirm` is another name.
        Forbidden
            If the stream, or a model or database that depends on it, belongs to another user.
        """
        query = {} if confirm is None else {"confirm": confirm}
        self._session.send("DELETE", self._session.path("streams", self.name), query=query, stream=self.name)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw the errors of all the stream's models over time, and save the picture if `path` is given."""
        from tailrace.pictures.model_plots import draw_history

        return draw_history([self._history(name) for name in self.models], path)

    def _history(self, model: str) -> History:
        from tailrace.results.metrics import History

        data = self._session.send("GET", self._session.path("models", model) + "history/", stream=self.name)
        return History(data, self.unit)

    def _fetch(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self._session.send("GET", self._session.path("streams", self.name), stream=self.name)
        self._known = data
        return data

    def _declared(self) -> Mapping[str, Any]:
        return self._known if self._known is not None else self._fetch()

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"stream {self.name}")

    def _repr_html_(self) -> str:
        return self._session.shown_html(self.info, f"stream {self.name}", self.page_url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (other._session.server, other.name) == (self._session.server, self.name)

    def __hash__(self) -> int:
        return hash(self.name)


def observation_number(given: Any, method: str) -> int:
    """Returns the number of an observation as an int.

    Raises
    ------
    Unusable
        If `given` is not a whole number. The message names `method`, which got it.
    """
    try:
        if not isinstance(given, bool):
            return operator.index(given)
    except TypeError:
        pass
    raise Unusable(f"{method}({given!r}): expected the number of an observation, such as 120")


def _seconds(length: float | str) -> int:
    from tailrace.durations import parse_duration

    return round(parse_duration(length) if isinstance(length, str) else length)


def _expected(expected: Mapping[str, Any] | None) -> str | None:
    """Returns a text that says how often observations are expected, and whether they arrive."""
    if expected is None:
        return None
    from tailrace.durations import format_duration

    grace = f", and {format_duration(expected['grace'])} of grace" if expected["grace"] else ""
    last = f"; the last came at {expected['last_at']}" if expected["last_at"] else ""
    state = expected["state"].replace("_", " ")
    return f"every {format_duration(expected['every'])}{grace}: {state}{last}"
