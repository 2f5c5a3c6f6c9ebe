"""What a step gives: values with units, tables, small files and observations, as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from tailrace.programs.errors import InvalidResults

__all__ = ["Observation", "Report", "Results", "Scalar", "Table", "Value"]

Scalar = Union[int, float, bool, str]  # noqa: UP007 - evaluated on Python 3.9

MOST_ROWS = 100_000
LONGEST_TEXT = 100_000


@dataclass(frozen=True)
class Value:
    """One extracted number or text.

    Parameters
    ----------
    value
        An int, finite float, bool or str.
    unit
        Unit, such as ``eV`` or ``e Å``; empty for a number without one.
    """

    value: Scalar
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "unit": self.unit}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Value:
        return cls(content["value"], content.get("unit", ""))


@dataclass(frozen=True)
class Table:
    """A table of values.

    Parameters
    ----------
    columns
        Each column's name and its unit.
    rows
        One list of values for each row, in the order of the columns; None where there is no value.
    """

    columns: Mapping[str, str]
    rows: Sequence[Sequence[Scalar | None]]

    def to_json(self) -> dict[str, Any]:
        return {"columns": dict(self.columns), "rows": [list(row) for row in self.rows]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Table:
        return cls(dict(content["columns"]), [list(row) for row in content["rows"]])


@dataclass(frozen=True)
class Observation:
    """One labeled point for a stream.

    Parameters
    ----------
    stream
        Name of the stream.
    key_suffix
        What distinguishes this point from the others of its step. The idempotency key is ``STEP_ID/key_suffix``, so
        that a second attempt of the step never adds a second point.
    x, y
        Features and target.
    unit
        Unit of `y`, for reports.
    source
        Provenance that is sent with the point, such as ``{"version": "6.7"}``.
    """

    stream: str
    key_suffix: str
    x: Mapping[str, Scalar]
    y: Scalar
    unit: str = ""
    source: Mapping[str, Scalar] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "stream": self.stream, "key_suffix": self.key_suffix, "x": dict(self.x), "y": self.y, "unit": self.unit,
            "source": dict(self.source),
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Observation:
        return cls(**{name: content[name] for name in ("stream", "key_suffix", "x", "y", "unit", "source")})


@dataclass(frozen=True)
class Report:
    """What an analysis found.

    Parameters
    ----------
    values, tables
        By name.
    files
        Names of small files in the step's folder to upload, such as ``bands.png``.
    report
        A few sentences for the reader of the calculation's report.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    files: Sequence[str] = ()
    report: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the content as JSON. Raises InvalidResults if a number is not finite or a type is not allowed."""
        for name, value in self.values.items():
            _require_scalar(value.value, f"the value {name!r}")
        for name, table in self.tables.items():
            _require_table(name, table)
        if len(self.report) > LONGEST_TEXT:
            raise InvalidResults(f"the report has {len(self.report)} characters: expected at most {LONGEST_TEXT}")
        return {
            "values": {name: value.to_json() for name, value in self.values.items()},
            "tables": {name: table.to_json() for name, table in self.tables.items()},
            "files": list(self.files),
            "report": self.report,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Report:
        return cls(**_fields(content))


@dataclass(frozen=True)
class Results(Report):
    """What a step gives: a `Report`, and observations for streams."""

    observations: Sequence[Observation] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the content as JSON. Raises InvalidResults if a number is not finite or a type is not allowed."""
        for one in self.observations:
            for name, value in (*one.x.items(), ("y", one.y)):
                _require_scalar(value, f"{name!r} of the observation {one.key_suffix!r}")
        return {**super().to_json(), "observations": [one.to_json() for one in self.observations]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Results:
        observations = tuple(Observation.from_json(one) for one in content.get("observations", ()))
        return cls(**_fields(content), observations=observations)


def _fields(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "values": {name: Value.from_json(one) for name, one in content.get("values", {}).items()},
        "tables": {name: Table.from_json(one) for name, one in content.get("tables", {}).items()},
        "files": tuple(content.get("files", ())),
        "report": content.get("report", ""),
    }


def _require_table(name: str, table: Table) -> None:
    if len(table.rows) > MOST_ROWS:
        raise InvalidResults(f"the table {name!r} has {len(table.rows)} rows: expected at most {MOST_ROWS}")
    for number, row in enumerate(table.rows, start=1):
        if len(row) != len(table.columns):
            raise InvalidResults(
                f"row {number} of the table {name!r} has {len(row)} values: expected {len(table.columns)}"
            )
        for column, value in zip(table.columns, row):  # noqa: B905 - as long as each other
            if value is not None:
                _require_scalar(value, f"{column!r} in row {number} of the table {name!r}")


def _require_scalar(value: object, what: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidResults(f"{what} is {value}: expected a finite number")
    if not isinstance(value, (int, float, bool, str)):
        raise InvalidResults(f"{what} is a {type(value).__name__}: expected an int, float, bool or str")
