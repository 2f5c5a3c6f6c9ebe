"""To and from pandas, which is imported on use only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from tailrace.bulk import Cells
from tailrace.errors import Unusable
from tailrace.exported import features_of, is_exported
from tailrace.extras import needs
from tailrace.plain import plain_point

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.metrics import History
    from tailrace.results import Prediction

__all__ = ["batches_of", "is_frame", "of_history", "of_observations", "of_predictions", "point_at", "rows_of"]


def is_frame(value: Any) -> bool:
    """Whether it is a pandas DataFrame; pandas need not be there to tell."""
    return any(
        cls.__name__ == "DataFrame" and cls.__module__.partition(".")[0] == "pandas" for cls in type(value).__mro__
    )


def batches_of(frame: Any, most: int) -> Iterator[list[dict[str, Any]]]:
    """The rows as points, so many at a time: a feature a column (of a log, its features); what is missing in a row is left out.

    Raises
    ------
    Unusable
        If a row holds what can't be sent; the message names the row and the feature.
    """
    for start in range(0, len(frame), most):
        part = frame.iloc[start : start + most]
        yield _plain(part) or [_point(row, f"points[{start + n}]") for n, row in enumerate(part.to_dict("records"))]


def point_at(frame: Any, number: int) -> dict[str, Any]:
    """One row as a point."""
    return _point(frame.iloc[number : number + 1].to_dict("records")[0], f"points[{number}]")


def _plain(frame: Any) -> list[dict[str, Any]] | None:
    """The rows as they are, where every column holds finite numbers or booleans under a name of its own; else None."""
    names = list(frame.columns)
    if is_exported(names) or len(set(names)) < len(names) or not all(type(name) is str for name in names):
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
    return plain_point(features_of(present) if is_exported(row) else present, called)


def rows_of(frame: Any, target: str, key: str | None) -> Iterator[Cells]:
    """What each row holds; what a log marks as retracted is left out.

    Raises
    ------
    Unusable
        If there is no such column.
    """
    of_log = is_exported(frame.columns)
    for name in (target, key):
        if name is not None and name not in frame.columns:
            raise Unusable(f"the frame has no column {name!r}: there are {', '.join(map(str, frame.columns))}")
    if of_log and key is None and "key" in frame.columns:
        key = "key"
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
        yield Cells(f"row {label}", x, present[target], None if key is None else present.get(key))


def of_predictions(predictions: Sequence[Prediction], index: Any, frame: Any = None) -> DataFrame:
    """A row a prediction: its features, ``prediction``, and ``low``, ``high`` and ``warnings`` where there are any.

    Parameters
    ----------
    frame
        The frame that was asked about: its columns are taken as they are.
    """
    pandas = needs("pandas")
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


def of_history(history: History) -> DataFrame:
    """A row a point of the curve, indexed by ``n``, the number of scored observations."""
    pandas = needs("pandas")
    frame = pandas.DataFrame(history.points, columns=history.columns)
    return frame.astype({"n": int}).set_index("n")


def of_observations(observations: Iterable[Mapping[str, Any]]) -> DataFrame:
    """A row an observation, indexed by ``seq``.

    Columns are ``at`` (UTC), ``y``, ``x.<feature>``, ``prediction.<model>`` (what it predicted before it learned),
    ``key``, and ``retracted`` (the reason) where anything was.
    """
    pandas = needs("pandas")
    columns: dict[str, dict[int, Any]] = {"at": {}, "y": {}}
    late: dict[str, dict[int, Any]] = {"key": {}, "retracted": {}}
    for one in observations:
        seq = one["seq"]
        columns["at"][seq] = one["at"]
        columns["y"][seq] = one["y"]
        for name, value in one["x"].items():
            columns.setdefault(f"x.{name}", {})[seq] = value
        for name, value in one.get("predictions", {}).items():
            columns.setdefault(f"prediction.{name}", {})[seq] = value
        if one.get("key") is not None:
            late["key"][seq] = one["key"]
        if "retracted" in one:
            late["retracted"][seq] = one["retracted"]["reason"]
    features = [name for name in columns if name.startswith("x.")]
    predictions = [name for name in columns if name.startswith("prediction.")]
    order = ["at", "y", *features, *predictions]
    chosen = {name: columns[name] for name in order} | {name: found for name, found in late.items() if found}
    index = pandas.Index(list(columns["at"]), name="seq")
    data = {name: [found.get(seq) for seq in index] for name, found in chosen.items()}
    frame = pandas.DataFrame(data, index=index)
    frame["at"] = pandas.to_datetime(frame["at"], utc=True)
    return frame


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
