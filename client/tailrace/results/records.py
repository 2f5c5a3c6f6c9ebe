"""`Record`: what a model predicted for each observation before it learned it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tailrace.display.tables import Column, Table
from tailrace.similar_names import UnknownName, did_you_mean, join_names

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["ALWAYS", "Record"]

ALWAYS = ("n", "at", "y", "prediction", "scored", "skipped")
"""Columns that every record has. The others are left out where the model gives no value."""

WITHOUT_UNIT = ("n", "at", "segment", "scored", "skipped")


class Record:
    """A model's record as a table: one row for each observation.

    Attributes
    ----------
    model
        Name of the model.
    columns
        Values by name of the column: ``n`` (number of the observation), ``at`` (time, UTC, in ISO 8601), ``segment``,
        ``y``, ``prediction``, ``scored``, ``skipped``, ``lower`` and ``upper`` (the 95 % interval), ``q50`` to ``q99``
        (upper bounds of a time). Columns without any value are left out.
    behind
        Number of observations that the server has not recorded yet.
    unit
        Unit of the target.
    """

    def __init__(self, model: str, columns: dict[str, list[Any]], behind: int = 0, unit: str = "") -> None:
        self.model = model
        self.behind = behind
        self.unit = unit
        self.columns: dict[str, list[Any]] = {
            name: values for name, values in columns.items() if name in ALWAYS or any(v is not None for v in values)
        }

    def __len__(self) -> int:
        return len(self.columns["n"])

    def column(self, name: str) -> Sequence[Any]:
        """Returns the values of one column.

        Raises
        ------
        UnknownName
            If there is no such column. The message lists the columns.
        """
        if name not in self.columns:
            hint = did_you_mean(name, self.columns)
            raise UnknownName(
                f"the record of {self.model} has no column {name!r}{hint}: it has {join_names(self.columns)}"
            )
        return self.columns[name]

    def to_frame(self) -> DataFrame:
        """Returns a pandas DataFrame, indexed by ``n``, with times as UTC datetimes."""
        from tailrace.results.data_frames import record_frame

        return record_frame(self.columns, self.behind)

    @property
    def table(self) -> Table:
        """The table that display shows."""
        columns = [
            Column(name, "" if name in WITHOUT_UNIT else self.unit, left=name in ("at", "segment"))
            for name in self.columns
        ]
        cells = [
            [str(v)[:19].replace("T", " ") for v in values] if name == "at" else values
            for name, values in self.columns.items()
        ]
        late = f"; {self.behind} observations are not recorded yet" if self.behind else ""
        return Table(columns, [list(row) for row in zip(*cells)], f"record of {self.model}{late}")  # noqa: B905

    def __repr__(self) -> str:
        return self.table.text(most=20)

    def _repr_html_(self) -> str:
        return self.table.html(most=20)
