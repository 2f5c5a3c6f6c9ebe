"""One stream: its log read, exported, posted to and drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tailrace.results import Facts, Listing, made

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.client import Client
    from tailrace.pictures import Picture

__all__ = ["Stream"]

LOOKED_AT = 100


class Stream:
    """A handle on one stream; nothing is asked of the server before it is used.

    Attributes
    ----------
    name
        The stream's.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name
        self._known: Mapping[str, Any] | None = None

    def info(self) -> Facts:
        """The stream as the server describes it now: target, features, head, counts, models."""
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
            ("made", made(data)),
        ]
        return Facts(f"stream {self.name}", data, [(name, value) for name, value in lines if value not in ("", None)])

    @property
    def head(self) -> int:
        """The number of the last observation, asked anew each time."""
        return int(self._fetch()["head"])

    @property
    def unit(self) -> str:
        """The target's unit, such as ``s``; empty where it has none."""
        return str(self._declared()["target"]["unit"])

    @property
    def features(self) -> dict[str, str]:
        """Feature to kind (number, boolean, category): the declared ones, else those of the latest observations."""
        data = self._declared()
        if data["features"] is not None:
            return dict(data["features"])
        found: dict[str, str] = {}
        for observation in self.observations(after=max(0, self.head - LOOKED_AT)):
            for name, value in observation["x"].items():
                kind = "boolean" if isinstance(value, bool) else "category" if isinstance(value, str) else "number"
                found.setdefault(name, kind)
        return found

    @property
    def models(self) -> list[str]:
        """The names of the models that learn from it."""
        return [model["name"] for model in self._fetch()["models"]]

    def post(self, x: Mapping[str, Any], y: Any, **options: Any) -> Any:
        """Post one labeled point: see `Client.post`."""
        return self._client.post(self.name, x, y, **options)

    def observations(self, after: int = 0, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The log, in order, a page at a time, with what each model predicted before it learned.

        Parameters
        ----------
        after
            Only observations with a greater number.
        limit
            At most so many.
        """
        from tailrace.reading import observations

        return observations(self._client, self.name, after, limit)

    def tail(self, n: int = 10) -> Listing:
        """The last `n` observations, shown as a table."""
        from tailrace.reading import observation_table

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
        """Write the log to a file at constant memory: CSV or NDJSON by the path's ending, whole or not at all.

        Parameters
        ----------
        after, limit
            Only observations after this number, and at most so many.
        safe
            ``"excel"``: CSV for people who open it in a spreadsheet. An apostrophe stands before text that begins as a
            formula does, so that what somebody posted isn't calculated.

        Returns
        -------
        The path.

        Raises
        ------
        Unusable
            If the path ends in neither ``.csv`` nor ``.ndjson`` (or ``.jsonl``), or `safe` is asked for and it is no CSV.
        Unreachable
            If the answer broke off; there is no file then, or the one from before.
        """
        from tailrace.reading import export

        return export(self._client, self.name, Path(path), after, limit, safe=safe)

    def to_frame(self, after: int = 0, limit: int | None = None) -> DataFrame:
        """The log as a pandas DataFrame, indexed by ``seq``.

        Columns are ``at``, ``y``, ``x.<feature>`` and ``prediction.<model>``; ``key`` and ``retracted`` where any
        observation has them.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        from tailrace.frames import of_observations

        return of_observations(self.observations(after, limit))

    def retract(self, seq: int, reason: str) -> Facts:
        """Mark an observation as wrong; the stream's models are rebuilt without it, and serve on meanwhile."""
        path = self._client.path("streams", self.name, "observations", str(int(seq)), "retract")
        data = self._client.send("POST", path, {"reason": reason}, stream=self.name)
        lines = [("observation", data["seq"]), ("reason", data["reason"]), ("rebuilt", data["models"])]
        return Facts(f"retracted from {self.name}", data, lines)

    def expect(self, every: float | str | None, grace: float | str = 0) -> None:
        """Say how often observations are expected: a stream that gets none for longer is silent, and whoever watches is told.

        Parameters
        ----------
        every
            Seconds, at least 60, or a text such as ``"1d"`` or ``"2h30m"``; None where none is expected.
        grace
            How much later is late, but not yet silent.

        Raises
        ------
        Unusable
            If a text is no length of time.
        Refused
            If the server has it otherwise; `Forbidden` if the stream is somebody else's.
        """
        wished = None if every is None else {"every": _seconds(every), "grace": _seconds(grace)}
        self._client.send("PATCH", self._client.path("streams", self.name), {"expected": wished}, stream=self.name)

    def delete(self, confirm: str | None = None) -> None:
        """Delete the stream: one that was never used; or, confirmed, one with its log and all that depends on it, for good.

        Parameters
        ----------
        confirm
            The stream's name, once more: its observations, models, kept predictions, cells and databases go with it.

        Raises
        ------
        Refused
            If it was used and nothing confirms it (status 409), or `confirm` is another name.
        Forbidden
            If it, or a model or database that depends on it, is somebody else's.
        """
        query = {} if confirm is None else {"confirm": confirm}
        self._client.send("DELETE", self._client.path("streams", self.name), query=query, stream=self.name)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw the errors of all its models in one picture, and save it if a path is given."""
        from tailrace.plots import draw_history

        return draw_history([self._client.model(name).history() for name in self.models], path)

    def _fetch(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self._client.send("GET", self._client.path("streams", self.name), stream=self.name)
        self._known = data
        return data

    def _declared(self) -> Mapping[str, Any]:
        return self._known if self._known is not None else self._fetch()

    def __repr__(self) -> str:
        return self._client.shown(self.info, f"stream {self.name}")

    def _repr_html_(self) -> str:
        return self._client.shown_html(self.info, f"stream {self.name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (other._client.server, other.name) == (self._client.server, self.name)

    def __hash__(self) -> int:
        return hash(self.name)


def _seconds(length: float | str) -> int:
    from tailrace.durations import duration

    return round(duration(length) if isinstance(length, str) else length)


def _expected(expected: Mapping[str, Any] | None) -> str | None:
    """How often observations are expected, and whether they come, in words."""
    if expected is None:
        return None
    from tailrace.durations import written

    grace = f", and {written(expected['grace'])} of grace" if expected["grace"] else ""
    last = f"; the last came at {expected['last_at']}" if expected["last_at"] else ""
    state = expected["state"].replace("_", " ")
    return f"every {written(expected['every'])}{grace}: {state}{last}"
