"""`PredictionColumns`: predictions of many points, stored as columns to save memory (8 bytes per number)."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from tailrace.results.predictions import PointWarning, Prediction

__all__ = ["PredictionColumns"]


class PredictionColumns(Sequence[Prediction]):
    """A sequence of predictions. It stores columns, and makes a `Prediction` only when one is accessed.

    Parameters
    ----------
    model, unit, level
        As in `Prediction`.
    features
        Function that returns the features of the point with a given index.
    """

    def __init__(self, model: str, unit: str, level: float, features: Callable[[int], Mapping[str, Any]]) -> None:
        self.model, self.unit, self.level = model, unit, level
        self._features = features
        self.values: Any = array("d")
        self.lows: Any = array("d")
        self.highs: Any = array("d")
        self._starts: list[int] = []
        self._ats: list[int] = []
        self.warnings: dict[int, list[PointWarning]] = {}
        """Warnings by index of the point. Points without warnings are left out."""

    def add(self, answer: Mapping[str, Any], size: int) -> None:
        """Add the server's response for the next `size` points."""
        start = len(self.values)
        for one in answer.get("warnings", ()):
            warning = PointWarning(one["code"], one.get("feature"), one["message"])
            for number in one.get("points", range(size)):
                self.warnings.setdefault(start + number, []).append(warning)
        intervals = answer.get("intervals") or [None] * size
        self._starts.append(start)
        self._ats.append(answer["at"])
        self.values = _extended(self.values, answer["predictions"])
        self.lows = _extended(self.lows, [None if one is None else one[0] for one in intervals])
        self.highs = _extended(self.highs, [None if one is None else one[1] for one in intervals])

    @property
    def is_bounded(self) -> bool:
        """Whether any prediction has an interval."""
        return any(
            not isinstance(side, list) or any(one is not None for one in side) for side in (self.lows, self.highs)
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | list[Prediction]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        at = self._ats[bisect_right(self._starts, number) - 1]
        return Prediction(
            self.values[number], self.model, at, self._features(number), self.unit, self.lows[number], self.highs[number],
            self.level, None, tuple(self.warnings.get(number, ())),
        )  # fmt: skip


def _extended(column: Any, more: Sequence[Any]) -> Any:
    """Returns a column with more values. It stays an array while all values are floats; otherwise it becomes a list."""
    if isinstance(column, array) and set(map(type, more)) - {float}:
        column = column.tolist()
    column.extend(more)
    return column
