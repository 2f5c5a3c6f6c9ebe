"""`Metrics` and `History`: a model's prequential metrics, now and over time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tailrace.display.tables import Column, Table
from tailrace.similar_names import UnknownName, did_you_mean, join_names

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.pictures.figures import Picture

__all__ = ["History", "Metrics", "unit_of"]

IN_TARGET_UNIT = frozenset(("MAE", "RMSE", "Bias"))
PERCENT = frozenset(("SMAPE",))


def unit_of(metric: str, target: str) -> str:
    """Returns the unit of a metric such as ``MAE`` or ``rolling MAE``: the target's, percent, or none."""
    name = metric.rpartition(" ")[2]
    return target if name in IN_TARGET_UNIT else "%" if name in PERCENT else ""


class Metrics(Mapping[str, "float | None"]):
    """A model's prequential metrics: a mapping of names to values over all scored observations.

    MAE, RMSE and Bias are in the target's unit, SMAPE is in percent.

    Attributes
    ----------
    model, flavor
        Name of the model, and its kind of task.
    unit
        The target's unit.
    at
        Number of the last observation that they include.
    n
        Number of scored observations.
    learned
        Number of learned observations.
    rolling
        The metrics over the latest `window` observations.
    segments
        For each segment its metrics and its ``n``. Empty if the stream has no segments.
    segment
        The segment that the metrics are limited to. None: all observations.
    data
        The server's response.
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
            raise UnknownName(f"{self.model} has no metric {name!r}{hint}: it has {join_names(metrics)}")
        return metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data["metrics"])

    def __len__(self) -> int:
        return len(self.data["metrics"])

    def unit_of(self, name: str) -> str:
        """Returns the unit of a metric: the target's, percent, or none."""
        return unit_of(name, self.unit)

    def tables(self) -> list[Table]:
        """Returns the tables that display shows: overall and rolling metrics, then metrics by segment."""
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
    """A model's metrics over time: at most 512 points, however long the stream is.

    Attributes
    ----------
    model
        Name of the model.
    at
        Number of the last observation that they include.
    columns
        ``n`` (the number of scored observations), then the names of the metrics.
    points
        One row for each point, with a value for each of `columns`.
    unit
        Unit of MAE, RMSE and Bias.
    window
        Number of observations in the rolling metrics.
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
        """Returns the values of one column: a metric, or ``n``.

        Raises
        ------
        UnknownName
            If there is no such column. The message lists the columns.
        """
        if name not in self.columns:
            hint = did_you_mean(name, self.columns)
            raise UnknownName(
                f"the history of {self.model} has no column {name!r}{hint}: it has {join_names(self.columns)}"
            )
        index = self.columns.index(name)
        return [row[index] for row in self.points]

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Returns ``(n, value)`` for each point at which a metric has a value. Raises like `column`."""
        values = self.column(name)
        return [(row[0] or 0, value) for row, value in zip(self.points, values) if value is not None]  # noqa: B905

    def to_frame(self) -> DataFrame:
        """Returns a pandas DataFrame, indexed by ``n``."""
        from tailrace.results.data_frames import history_frame

        return history_frame(self.columns, self.points)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw the rolling error (or accuracy) over time, and save the picture if `path` is given."""
        from tailrace.pictures.model_plots import draw_history

        return draw_history([self], path)

    @property
    def table(self) -> Table:
        """The table that display shows."""
        columns = [
            Column(name, self.unit if name.rpartition(" ")[2] in IN_TARGET_UNIT else "") for name in self.columns
        ]
        rows = [[int(row[0] or 0), *row[1:]] for row in self.points]
        return Table(columns, rows, f"{self.model} after observation {self.at} (rolling: the latest {self.window})")

    def __repr__(self) -> str:
        return self.table.text(most=20)

    def _repr_html_(self) -> str:
        return self.table.html(most=20)
