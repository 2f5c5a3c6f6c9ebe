"""`Prediction`, `Predictions` and `PointWarning`: a model's predictions, and warnings about the predicted points."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from tailrace.display.tables import Column, Table, escape_html, format_value, panel
from tailrace.observations.exported_rows import is_exported

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["PointWarning", "Prediction", "Predictions"]


def _operators(work: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns the methods for an operator with a prediction on the left, and on the right."""

    def left(self: Prediction, other: Any) -> Any:
        return work(float(self), float(other) if isinstance(other, Prediction) else other)

    def right(self: Prediction, other: Any) -> Any:
        return work(other, float(self))

    return left, right


class PointWarning(NamedTuple):
    """One way in which a point differs from all observations of the stream.

    Attributes
    ----------
    code
        ``unknown_feature``, ``missing_feature``, ``other_kind`` or ``outside`` (a value outside the range of the
        observations). ``more``: further warnings are not listed. ``unchecked``: the server does not know the stream's
        observations yet.
    feature
        Name of the feature. None if the warning concerns the whole point.
    message
        The server's text, which says what the observations contain.
    """

    code: str
    feature: str | None
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one point. A numeric prediction supports formatting, comparison and arithmetic.

    Attributes
    ----------
    value
        A number in `unit`, a label, or a mapping of labels to probabilities.
    model
        Name of the model.
    at
        Number of the last observation that the model had learned.
    x
        Features of the point.
    unit
        The target's unit.
    low, high
        Bounds of the central interval with probability `level`, in `unit`. None if the model computes no interval.
    level
        Probability of the interval, between 0 and 1.
    identifier
        Identifier under which the prediction is stored for a label. None if it is not stored.
    warnings
        How `x` differs from all observations of the stream: a tuple of `PointWarning`. Empty if it does not differ, or
        if the stream declares its features, because the server then refuses points that do not match.
    """

    value: Any
    model: str
    at: int
    x: Mapping[str, Any] = field(repr=False)
    unit: str = ""
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    identifier: str | None = None
    warnings: tuple[PointWarning, ...] = ()

    def __float__(self) -> float:
        if not isinstance(self.value, (int, float)):
            raise TypeError(f"{self.model} predicts {self.value!r}, which is not a number")
        return float(self.value)

    def __int__(self) -> int:
        return int(float(self))

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        return format(self.value if isinstance(self.value, str) else float(self), spec)

    __add__, __radd__ = _operators(operator.add)
    __sub__, __rsub__ = _operators(operator.sub)
    __mul__, __rmul__ = _operators(operator.mul)
    __truediv__, __rtruediv__ = _operators(operator.truediv)

    def __neg__(self) -> float:
        return -float(self)

    def __abs__(self) -> float:
        return abs(float(self))

    def __round__(self, digits: int | None = None) -> float:
        return round(float(self), digits)

    def __lt__(self, other: Any) -> bool:
        return float(self) < float(other)

    def __le__(self, other: Any) -> bool:
        return float(self) <= float(other)

    def __gt__(self, other: Any) -> bool:
        return float(self) > float(other)

    def __ge__(self, other: Any) -> bool:
        return float(self) >= float(other)

    @property
    def line(self) -> str:
        """The prediction in one line, without the warnings."""
        unit = f" {self.unit}" if self.unit else ""
        interval = ""
        if self.low is not None or self.high is not None:
            interval = f" ({format_value(self.low)} to {format_value(self.high)}{unit} at {100 * self.level:g} %)"
        kept = f", kept as {self.identifier}" if self.identifier else ""
        return f"{format_value(self.value)}{unit}{interval}, {self.model} after observation {self.at}{kept}"

    def __repr__(self) -> str:
        return "\n".join([self.line, *_warned(self.warnings)])

    def _repr_html_(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        facts: list[tuple[str, Any]] = [("prediction", f"{format_value(self.value)}{unit}")]
        if self.low is not None or self.high is not None:
            facts.append(
                (f"{100 * self.level:g} % interval", f"{format_value(self.low)} to {format_value(self.high)}{unit}")
            )
        facts.append(("after observation", self.at))
        if self.identifier:
            facts.append(("kept as", self.identifier))
        facts += [("warning", str(one)) for one in self.warnings]
        return panel(
            f"{self.model}: {', '.join(f'{name} = {format_value(value)}' for name, value in self.x.items())}", facts
        )


class Predictions(Sequence[Prediction]):
    """Predictions for many points, in the order of the points.

    Parameters
    ----------
    predictions
        The predictions.
    index, frame
        The DataFrame that was predicted, and its index, if any. `to_frame` uses them.
    """

    def __init__(self, predictions: Sequence[Prediction], index: Any = None, frame: Any = None) -> None:
        self._all = predictions
        self._index = index
        self._frame = frame

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Predictions: ...
    def __getitem__(self, index: int | slice) -> Prediction | Predictions:
        if isinstance(index, slice):
            return Predictions(self._all[index], None if self._index is None else self._index[index])
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def values(self) -> list[Any]:
        """Values of the predictions."""
        found = getattr(self._all, "values", None)
        return [one.value for one in self._all] if found is None else list(found)

    @property
    def intervals(self) -> list[tuple[float | None, float | None] | None]:
        """``(low, high)`` of each prediction, or None if it has no interval."""
        lows, highs = getattr(self._all, "lows", None), getattr(self._all, "highs", None)
        if lows is None or highs is None:
            lows, highs = [one.low for one in self._all], [one.high for one in self._all]
        return [None if low is None and high is None else (low, high) for low, high in zip(lows, highs)]  # noqa: B905

    @property
    def warnings(self) -> tuple[PointWarning, ...]:
        """The distinct warnings of all points."""
        return tuple(self._counted())

    def to_frame(self) -> DataFrame:
        """Returns a pandas DataFrame with one row for each point.

        The columns are the features, ``prediction``, and ``low``, ``high`` and ``warnings`` if any prediction has them.
        ``warnings`` is text. It is empty for points without warnings: ``frame[frame["warnings"] == ""]`` selects these.
        """
        from tailrace.results.data_frames import predictions_frame

        return predictions_frame(self._all, self._index, self._frame)

    @property
    def table(self) -> Table:
        """The table that display shows."""
        names, unit, bounded = self._names(), self._all[0].unit if self._all else "", self._is_bounded()
        columns = [Column(name) for name in names] + [Column("prediction", unit)]
        if bounded:
            columns += [Column("low", unit), Column("high", unit)]
        return Table(columns, _Rows(self._all, names, bounded), self._caption(bounded))

    def _names(self) -> list[str]:
        """Returns the names of all features that any point has."""
        if self._frame is not None and not is_exported(self._frame.columns):
            return [str(name) for name in self._frame.columns]
        return list(dict.fromkeys(name for one in self._all for name in one.x))

    def _is_bounded(self) -> bool:
        """Whether any prediction has an interval."""
        found = getattr(self._all, "is_bounded", None)
        return any(one.low is not None or one.high is not None for one in self._all) if found is None else bool(found)

    def _caption(self, bounded: bool) -> str:
        if not self._all:
            return "no predictions"
        last = self._all[-1]
        interval = f", {100 * last.level:g} % interval" if bounded else ""
        return f"{last.model} after observation {last.at}{interval}"

    def counted_warnings(self) -> list[str]:
        """Returns the distinct warnings as texts, each with the number of its points."""
        return [f"{warning} [{count:,} of {len(self):,} points]" for warning, count in self._counted().items()]

    def _counted(self) -> Counter[PointWarning]:
        """Returns the distinct warnings, with the number of points of each."""
        found = getattr(self._all, "warnings", None)
        each = (one.warnings for one in self._all) if found is None else (found[number] for number in sorted(found))
        return Counter(warning for warnings in each for warning in warnings)

    def __repr__(self) -> str:
        return "\n".join([self.table.text(), *_warned(self.counted_warnings())])

    def _repr_html_(self) -> str:
        return self.table.html() + "".join(f"<div>warning: {escape_html(one)}</div>" for one in self.counted_warnings())


class _Rows(Sequence[Sequence[Any]]):
    """The rows of a table, made only when they are shown. A long table shows few of its rows."""

    def __init__(self, predictions: Sequence[Prediction], names: Sequence[str], bounded: bool) -> None:
        self._all, self._names, self._bounded = predictions, names, bounded

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._row(one) for one in self._all[index]]
        return self._row(self._all[index])

    def _row(self, one: Prediction) -> list[Any]:
        return [*(one.x.get(name) for name in self._names), one.value, *((one.low, one.high) if self._bounded else ())]


def _warned(warnings: Iterable[object]) -> list[str]:
    """Returns a line for each warning, without control characters, which could change the terminal."""
    lines = [f"warning: {one}" for one in warnings]
    return ["".join(one if one.isprintable() else "?" for one in line) for line in lines]
