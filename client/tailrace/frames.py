"""To and from pandas, which is imported on use only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tailrace.bulk import Cells
from tailrace.errors import Unusable
from tailrace.exported import features_of, is_exported
from tailrace.extras import needs

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.metrics import History
    from tailrace.results import Prediction

__all__ = ["is_frame", "of_history", "of_observations", "of_predictions", "points_of", "rows_of"]


def is_frame(value: Any) -> bool:
    """Whether it is a pandas DataFrame; pandas need not be there to tell."""
    return any(
        cls.__name__ == "DataFrame" and cls.__module__.partition(".")[0] == "pandas" for cls in type(value).__mro__
    )


def points_of(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows as points, a feature a column (of a log, its features); what is missing in a row is left out of its point."""
    of_log = is_exported(frame.columns)
    for row in frame.to_dict("records"):
        present = {str(name): value for name, value in row.items() if not _missing(value)}
        yield features_of(present) if of_log else present


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


def of_predictions(predictions: Sequence[Prediction], index: Any) -> DataFrame:
    """A row a prediction: its features, ``prediction``, and ``low``, ``high`` and ``warnings`` where there are any."""
    pandas = needs("pandas")
    warned = any(one.warnings for one in predictions)
    bounded = any(one.low is not None or one.high is not None for one in predictions)
    rows = []
    for one in predictions:
        row = {**one.x, "prediction": one.value}
        if bounded:
            row |= {"low": one.low, "high": one.high}
        if warned:
            row["warnings"] = "; ".join(map(str, one.warnings))
        rows.append(row)
    return pandas.DataFrame(rows, index=index)


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
