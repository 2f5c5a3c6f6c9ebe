"""Conversion to and from pandas DataFrames. pandas is imported only when it is needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from tailrace.errors import Unusable
from tailrace.observations.damaged_numbers import damage_of
from tailrace.observations.exported_rows import features_of, is_exported
from tailrace.observations.json_values import json_point
from tailrace.observations.rows import Cells
from tailrace.optional_dependencies import require

if TYPE_CHECKING:
    from pandas import DataFrame


__all__ = [
    "batches_of",
    "history_frame",
    "is_frame",
    "observations_frame",
    "point_at",
    "predictions_frame",
    "record_frame",
    "rows_of",
]


def is_frame(value: Any) -> bool:
    """Whether a value is a pandas DataFrame. Does not import pandas."""
    return any(
        cls.__name__ == "DataFrame" and cls.__module__.partition(".")[0] == "pandas" for cls in type(value).__mro__
    )


def batches_of(frame: Any, most: int) -> Iterator[list[dict[str, Any]]]:
    """Returns an iterator over the rows as points, in lists of at most `most`.

    Each column is a feature. If the frame is an exported log, only its features are used. Missing values are left out.

    Raises
    ------
    Unusable
        At the call, if two columns have the same name. During iteration, if a value cannot be sent; the message names
        the row and the feature.
    """
    _column_names(frame)
    return _batches(frame, most)


def _batches(frame: Any, most: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(frame), most):
        part = frame.iloc[start : start + most]
        yield _plain(part) or [_point(row, f"points[{start + n}]") for n, row in enumerate(part.to_dict("records"))]


def point_at(frame: Any, number: int) -> dict[str, Any]:
    """Returns a row as a point."""
    return _point(frame.iloc[number : number + 1].to_dict("records")[0], f"points[{number}]")


def _plain(frame: Any) -> list[dict[str, Any]] | None:
    """Returns the rows unchecked if all names are strings and all values finite numbers or booleans; otherwise None.

    This is much faster than checking each value.
    """
    names = list(frame.columns)
    if is_exported(names) or not all(type(name) is str for name in names):
        return None
    if not all(getattr(kind, "kind", "O") in "biuf" and hasattr(kind, "itemsize") for kind in frame.dtypes):
        return None
    columns = [frame.iloc[:, place].to_numpy() for place in range(len(names))]
    if not all(column.dtype.kind in "biu" or bool((abs(column) < math.inf).all()) for column in columns):
        return None
    rows = zip(*(column.tolist() for column in columns))  # noqa: B905 - Python 3.9
    return [dict(zip(names, row)) for row in rows]  # noqa: B905


def _point(row: Mapping[Any, Any], called: str) -> dict[str, Any]:
    present = {str(name): value for name, value in row.items() if not _missing(value)}
    return json_point(features_of(present) if is_exported(row) else present, called)


def rows_of(frame: Any, target: str, key: str | None) -> Iterator[Cells]:
    """Returns an iterator over the rows: features, target and key. Retracted rows of an exported log are left out.

    Raises
    ------
    Unusable
        At the call, if a column is missing, or two columns have the same name. During iteration, if a row has no
        target.
    """
    names = _column_names(frame)
    for name in (target, key):
        if name is not None and str(name) not in names:
            raise Unusable(f"the frame has no column {name!r}: there are {', '.join(names)}")
    if is_exported(names) and key is None and "key" in names:
        key = "key"
    return _rows(frame, str(target), None if key is None else str(key))


def _column_names(frame: Any) -> list[str]:
    """Returns the names of the columns as strings, as they are sent. A column 1 and a column "1" have the same name."""
    if not is_frame(frame):
        raise Unusable(f"the frame is a {type(frame).__name__}: expected a pandas DataFrame")
    names: dict[str, Any] = {}
    for name in frame.columns:
        if isinstance(name, tuple):
            raise Unusable(
                f"the frame has the column {name!r}, of several levels: expected one name for each column, such as "
                "frame.columns = ['_'.join(map(str, name)) for name in frame.columns]"
            )
        if str(name) in names:
            both = "" if type(name) is type(names[str(name)]) else f" ({names[str(name)]!r} and {name!r})"
            raise Unusable(f"the frame has two columns named {str(name)!r}{both}: expected each name once")
        names[str(name)] = name
    return list(names)


def _rows(frame: Any, target: str, key: str | None) -> Iterator[Cells]:
    of_log = is_exported(frame.columns)
    for label, row in zip(frame.index, frame.to_dict("records")):  # noqa: B905 - Python 3.9
        present = {str(name): value for name, value in row.items() if not _missing(value)}
        if of_log and "retracted" in present:
            continue
        if target not in present:
            raise Unusable(f"row {label} has no {target}: leave out rows without a target")
        if of_log:
            x = features_of(present)
        else:
            x = {name: value for name, value in present.items() if name not in (target, key)}
            _refuse_damage(label, x, present[target], target)
        yield Cells(f"row {label}", x, present[target], None if key is None else present.get(key))


def _refuse_damage(label: Any, x: Mapping[str, Any], y: Any, target: str) -> None:
    """Refuse texts that were numbers. A feature with commas may be a list. Raises Unusable."""
    for name, value in (*x.items(), (target, y)):
        if isinstance(value, str) and (what := damage_of(value, commas=name == target)):
            raise Unusable(f"row {label}: {name} is {value!r}: this seems to be {what}: correct it, or leave it out")


def predictions_frame(predictions: Sequence[Any], index: Any, frame: Any = None) -> DataFrame:
    """Returns a frame with one row for each prediction.

    The columns are the features, ``prediction``, and ``low``, ``high`` and ``warnings`` if any prediction has them.

    Parameters
    ----------
    predictions
        A sequence of `tailrace.results.predictions.Prediction`.
    index
        Index of the new frame. None: 0, 1, 2 …
    frame
        The frame that was predicted, if any. Its columns are copied as they are.
    """
    pandas = require("pandas")
    if frame is not None and not is_exported(frame.columns):
        made = frame.copy(deep=False)
    else:
        made = pandas.DataFrame([dict(one.x) for one in predictions], index=index)
    values, lows, highs = (getattr(predictions, name, None) for name in ("values", "lows", "highs"))
    made["prediction"] = [one.value for one in predictions] if values is None else values
    lows = [one.low for one in predictions] if lows is None else lows
    highs = [one.high for one in predictions] if highs is None else highs
    if any(one is not None for one in chain(lows, highs)):
        made["low"], made["high"] = lows, highs
    warned = getattr(predictions, "warnings", None)
    if warned is None:
        warned = {number: one.warnings for number, one in enumerate(predictions) if one.warnings}
    if warned:
        made["warnings"] = ["; ".join(map(str, warned.get(number, ()))) for number in range(len(predictions))]
    return made


def history_frame(columns: Sequence[str], points: Sequence[Sequence[float | None]]) -> DataFrame:
    """Returns a frame with one row for each point of the curve, indexed by ``n``, the number of scored observations."""
    pandas = require("pandas")
    frame = pandas.DataFrame(points, columns=columns)
    return frame.astype({"n": int}).set_index("n")


def record_frame(columns: Mapping[str, Sequence[Any]], behind: int) -> DataFrame:
    """Returns a frame with one row for each observation of a record, indexed by ``n``, with times in UTC."""
    pandas = require("pandas")
    index = pandas.Index(columns["n"], name="n", dtype="int64")
    frame = pandas.DataFrame({name: values for name, values in columns.items() if name != "n"}, index=index)
    frame["at"] = pandas.to_datetime(frame["at"], utc=True, format="ISO8601")
    frame.attrs["behind"] = behind
    return frame


def observations_frame(observations: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Returns a frame with one row for each observation, indexed by ``seq``.

    The columns are ``at`` (UTC), ``y``, ``x.<feature>`` and ``prediction.<model>`` (predicted before the model learned
    the observation), and ``key`` and ``retracted`` (the reason) if any observation has them.
    """
    pandas = require("pandas")
    columns: dict[str, dict[int, Any]] = {"at": {}, "y": {}}
    optional: dict[str, dict[int, Any]] = {"key": {}, "retracted": {}}
    for one in observations:
        seq = one["seq"]
        columns["at"][seq] = one["at"]
        columns["y"][seq] = one["y"]
        for name, value in one["x"].items():
            columns.setdefault(f"x.{name}", {})[seq] = value
        for name, value in one.get("predictions", {}).items():
            columns.setdefault(f"prediction.{name}", {})[seq] = value
        if one.get("key") is not None:
            optional["key"][seq] = one["key"]
        if "retracted" in one:
            optional["retracted"][seq] = one["retracted"]["reason"]
    features = [name for name in columns if name.startswith("x.")]
    predictions = [name for name in columns if name.startswith("prediction.")]
    order = ["at", "y", *features, *predictions]
    chosen = {name: columns[name] for name in order} | {name: found for name, found in optional.items() if found}
    index = pandas.Index(list(columns["at"]), name="seq")
    data = {name: [found.get(seq) for seq in index] for name, found in chosen.items()}
    frame = pandas.DataFrame(data, index=index)
    frame["at"] = pandas.to_datetime(frame["at"], utc=True)
    return frame


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
