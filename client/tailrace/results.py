"""What models answer, in forms that show themselves: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from tailrace.exported import is_exported
from tailrace.tables import Column, Table, escaped, panel, shown

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Facts", "Listing", "PointWarning", "Prediction", "Predictions", "made"]


def _calculates(work: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An operator for a prediction on its left, and for one on its right."""

    def left(self: Prediction, other: Any) -> Any:
        return work(float(self), float(other) if isinstance(other, Prediction) else other)

    def right(self: Prediction, other: Any) -> Any:
        return work(other, float(self))

    return left, right


class PointWarning(NamedTuple):
    """One way in which a point differs from those that the stream has seen.

    Attributes
    ----------
    code
        ``unknown_feature``, ``missing_feature``, ``other_kind`` or ``outside`` (of the values seen); ``more`` for those that aren't
        listed, ``unchecked`` while the server doesn't know what the stream has seen.
    feature
        Its name; None where it is about the point as a whole.
    message
        The server's own words, with what was seen.
    """

    code: str
    feature: str | None
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Prediction:
    """One answer of a model. One that is a number can be used as one: formatted, compared, calculated with.

    Attributes
    ----------
    value
        A number in `unit`, a label, or labels with their probabilities.
    low, high
        The central interval at `level`, in `unit`; None where the model gives none.
    at
        The last observation that the model had learned.
    identifier
        What a label will name, if the prediction is kept for one.
    warnings
        How `x` differs from the points that the stream has seen: each a `PointWarning`. None where it doesn't, and where the
        stream declares its features, and so refuses what doesn't fit.
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
            raise TypeError(f"{self.model} predicts {self.value!r}, which is no number")
        return float(self.value)

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        return format(self.value if isinstance(self.value, str) else float(self), spec)

    __add__, __radd__ = _calculates(operator.add)
    __sub__, __rsub__ = _calculates(operator.sub)
    __mul__, __rmul__ = _calculates(operator.mul)
    __truediv__, __rtruediv__ = _calculates(operator.truediv)

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
        """The answer in one line, without the warnings."""
        unit = f" {self.unit}" if self.unit else ""
        interval = ""
        if self.low is not None or self.high is not None:
            interval = f" ({shown(self.low)} to {shown(self.high)}{unit} at {100 * self.level:g} %)"
        kept = f", kept as {self.identifier}" if self.identifier else ""
        return f"{shown(self.value)}{unit}{interval}, {self.model} after observation {self.at}{kept}"

    def __repr__(self) -> str:
        return "\n".join([self.line, *_warned(self.warnings)])

    def _repr_html_(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        facts: list[tuple[str, Any]] = [("prediction", f"{shown(self.value)}{unit}")]
        if self.low is not None or self.high is not None:
            facts.append((f"{100 * self.level:g} % interval", f"{shown(self.low)} to {shown(self.high)}{unit}"))
        facts.append(("after observation", self.at))
        if self.identifier:
            facts.append(("kept as", self.identifier))
        facts += [("warning", str(one)) for one in self.warnings]
        return panel(f"{self.model}: {', '.join(f'{name} = {shown(value)}' for name, value in self.x.items())}", facts)


class Predictions(Sequence[Prediction]):
    """Answers to many points, in their order."""

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
        """The predictions alone."""
        found = getattr(self._all, "values", None)
        return [one.value for one in self._all] if found is None else list(found)

    @property
    def intervals(self) -> list[tuple[float | None, float | None] | None]:
        """``(low, high)`` of each, or None where the model gives none."""
        lows, highs = getattr(self._all, "lows", None), getattr(self._all, "highs", None)
        if lows is None or highs is None:
            lows, highs = [one.low for one in self._all], [one.high for one in self._all]
        return [None if low is None and high is None else (low, high) for low, high in zip(lows, highs)]  # noqa: B905

    @property
    def warnings(self) -> tuple[PointWarning, ...]:
        """Those of all points, each once."""
        return tuple(self._counted())

    def to_frame(self) -> DataFrame:
        """A pandas DataFrame: a column a feature, ``prediction``, and ``low``, ``high`` and ``warnings`` where there are any.

        ``warnings`` is text, empty in the rows without: ``frame[frame["warnings"] == ""]`` are those that are like what was seen.
        """
        from tailrace.frames import of_predictions

        return of_predictions(self._all, self._index, self._frame)

    @property
    def table(self) -> Table:
        """As it is shown."""
        names, unit, bounded = self._names(), self._all[0].unit if self._all else "", self._is_bounded()
        columns = [Column(name) for name in names] + [Column("prediction", unit)]
        if bounded:
            columns += [Column("low", unit), Column("high", unit)]
        return Table(columns, _Rows(self._all, names, bounded), self._caption(bounded))

    def _names(self) -> list[str]:
        """Of the features that any of the points has."""
        if self._frame is not None and not is_exported(self._frame.columns):
            return [str(name) for name in self._frame.columns]
        return list(dict.fromkeys(name for one in self._all for name in one.x))

    def _is_bounded(self) -> bool:
        """Whether any of them has an interval."""
        found = getattr(self._all, "is_bounded", None)
        return any(one.low is not None or one.high is not None for one in self._all) if found is None else bool(found)

    def _caption(self, bounded: bool) -> str:
        if not self._all:
            return "no predictions"
        last = self._all[-1]
        interval = f", {100 * last.level:g} % interval" if bounded else ""
        return f"{last.model} after observation {last.at}{interval}"

    def counted_warnings(self) -> list[str]:
        """The warnings in words, each with the number of points that it concerns."""
        return [f"{warning} [{count:,} of {len(self):,} points]" for warning, count in self._counted().items()]

    def _counted(self) -> Counter[PointWarning]:
        """The warnings of all points, and how many points have each."""
        found = getattr(self._all, "warnings", None)
        each = (one.warnings for one in self._all) if found is None else (found[number] for number in sorted(found))
        return Counter(warning for warnings in each for warning in warnings)

    def __repr__(self) -> str:
        return "\n".join([self.table.text(), *_warned(self.counted_warnings())])

    def _repr_html_(self) -> str:
        return self.table.html() + "".join(f"<div>warning: {escaped(one)}</div>" for one in self.counted_warnings())


class _Rows(Sequence[Sequence[Any]]):
    """The rows of a table, made when they are shown: of many, few are."""

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
    """A line each, in which no character steers a terminal."""
    lines = [f"warning: {one}" for one in warnings]
    return ["".join(one if one.isprintable() else "?" for one in line) for line in lines]


class Facts(Mapping[str, Any]):
    """One thing as the server describes it: a mapping, shown as a panel.

    Parameters
    ----------
    title
        What it is.
    data
        The server's answer.
    lines
        What is shown of it.
    """

    def __init__(self, title: str, data: Mapping[str, Any], lines: Sequence[tuple[str, Any]]) -> None:
        self.title = title
        self.data = data
        self._lines = lines

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        width = max((len(name) for name, _ in self._lines), default=0)
        return "\n".join([self.title, *(f"  {name.ljust(width)}  {shown(value)}" for name, value in self._lines)])

    def _repr_html_(self) -> str:
        return panel(self.title, self._lines)


class Listing(Sequence[Mapping[str, Any]]):
    """Several things as the server lists them, shown as a table."""

    def __init__(self, data: Sequence[Mapping[str, Any]], table: Table) -> None:
        self.data = data
        self.table = table

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.data[index]

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()


def made(data: Mapping[str, Any]) -> str:
    """When something was made, and by whom if the server knows."""
    by = f" by {data['created_by']}" if data["created_by"] else ""
    return f"{data['created_at'][:16].replace('T', ' ')} UTC{by}"
