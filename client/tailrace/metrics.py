"""What predictions were worth: metrics and their curve, as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tailrace.names import UnknownName, did_you_mean, listed
from tailrace.tables import Column, Table

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.pictures import Picture

__all__ = ["History", "Metrics", "unit_of"]

IN_TARGET_UNIT = frozenset(("MAE", "RMSE", "Bias"))
PERCENT = frozenset(("SMAPE",))


def unit_of(metric: str, target: str) -> str:
    """The unit of a metric such as ``MAE`` or ``rolling MAE``: that of the target, percent, or none."""
    name = metric.rpartition(" ")[2]
    return target if name in IN_TARGET_UNIT else "%" if name in PERCENT else ""


class Metrics(Mapping[str, "float | None"]):
    """A model's prequential metrics: a mapping of those over all scored observations, with more beside it.

    Attributes
    ----------
    model, unit, flavor
        Whose they are; MAE, RMSE and Bias are in the target's `unit`, SMAPE in percent.
    at
        The observation after which they hold.
    n
        Number of scored observations.
    rolling
        Those over the latest `window` observations.
    segments
        Segment to its metrics and its ``n``; empty where the stream has no segments.
    segment
        The one that these are of, or None for all.
    data
        The server's answer.
    """

    def __init__(self, data: Mapping[str, Any], unit: str = "") -> None:
        self.data = data
        self.unit = unit
        self.model: str = data["model"]
        self.flavor: str = data["flavor"]
        self.at: int = data["at"]
        self.n: int = data["n"]
        self.learned: int = data["learned"]
        self.segment: str | None = data.get("segment")
        self.window: int = data["rolling"]["window"]
        self.rolling: dict[str, float | None] = {k: v for k, v in data["rolling"].items() if k != "window"}
        self.segments: dict[str, dict[str, float | None]] = data.get("segments", {})

    def __getitem__(self, name: str) -> float | None:
        metrics: Mapping[str, float | None] = self.data["metrics"]
        if name not in metrics:
            hint = did_you_mean(name, metrics)
            raise UnknownName(f"{self.model} has no metric {name!r}{hint}: it has {listed(metrics)}")
        return metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data["metrics"])

    def __len__(self) -> int:
        return len(self.data["metrics"])

    def unit_of(self, name: str) -> str:
        """The unit of a metric: that of the target, percent, or none."""
        return unit_of(name, self.unit)

    def tables(self) -> list[Table]:
        """As they are shown: overall beside rolling, then by segment."""
        of = f", segment {self.segment}" if self.segment is not None else ""
        caption = f"{self.model}{of} after observation {self.at}: {self.n or 'nothing'} scored"
        rolling = self.rolling if self.n else {}
        rows = [
            [name, self.unit_of(name), value if self.n else None, rolling.get(name)] for name, value in self.items()
        ]
        columns = [
            Column("metric", left=True),
            Column("unit", left=True),
            Column("all"),
            Column(f"latest {self.window}"),
        ]
        found = [Table(columns, rows, caption)]
        if self.segments:
            names = list(self)
            columns = [Column("segment", left=True), Column("n"), *(Column(name, self.unit_of(name)) for name in names)]
            found.append(
                Table(
                    columns,
                    [[key, own.get("n"), *(own.get(name) for name in names)] for key, own in self.segments.items()],
                    "by segment",
                )
            )
        return found

    def __repr__(self) -> str:
        return "\n\n".join(table.text() for table in self.tables())

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self.tables())


class History:
    """The curve of a model's metrics: at most 512 points at any length of the stream.

    Attributes
    ----------
    columns
        ``n`` (the number of scored observations), then the metrics.
    points
        One row a point, as long as `columns`.
    unit
        Of MAE, RMSE and Bias.
    window
        Observations in the rolling ones.
    """

    def __init__(self, data: Mapping[str, Any], unit: str = "") -> None:
        self.data = data
        self.unit = unit
        self.model: str = data["model"]
        self.at: int = data["at"]
        self.window: int = data["window"]
        self.columns: list[str] = data["columns"]
        self.points: list[list[float | None]] = data["points"]

    def __len__(self) -> int:
        return len(self.points)

    def column(self, name: str) -> list[float | None]:
        """One metric's values, or ``n``.

        Raises
        ------
        UnknownName
            If there is no such column; the message names those that there are.
        """
        if name not in self.columns:
            hint = did_you_mean(name, self.columns)
            raise UnknownName(
                f"the history of {self.model} has no column {name!r}{hint}: it has {listed(self.columns)}"
            )
        index = self.columns.index(name)
        return [row[index] for row in self.points]

    def curve(self, name: str) -> list[tuple[float, float]]:
        """``(n, value)`` of one metric, where it has a value; raises as `column` does."""
        values = self.column(name)
        return [(row[0] or 0, value) for row, value in zip(self.points, values) if value is not None]  # noqa: B905

    def to_frame(self) -> DataFrame:
        """A pandas DataFrame, indexed by ``n``."""
        from tailrace.frames import of_history

        return of_history(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw the curve, and save the picture if a path is given."""
        from tailrace.plots import draw_history

        return draw_history([self], path)

    @property
    def table(self) -> Table:
        """As it is shown."""
        columns = [
            Column(name, self.unit if name.rpartition(" ")[2] in IN_TARGET_UNIT else "") for name in self.columns
        ]
        rows = [[int(row[0] or 0), *row[1:]] for row in self.points]
        return Table(columns, rows, f"{self.model} after observation {self.at} (rolling: the latest {self.window})")

    def __repr__(self) -> str:
        return self.table.text(most=20)

    def _repr_html_(self) -> str:
        return self.table.html(most=20)
