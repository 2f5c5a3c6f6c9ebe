"""Answers to very many points, kept column by column: eight bytes a number, where an object of its own takes hundreds."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from tailrace.results import PointWarning, Prediction

__all__ = ["Gathered"]


class Gathered(Sequence[Prediction]):
    """Predictions that are made when they are looked at.

    Parameters
    ----------
    model, unit, level
        As in `Prediction`.
    features
        The features of the n-th point.
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
        """By the number of the point, for those that have any."""

    def add(self, answer: Mapping[str, Any], size: int) -> None:
        """Take in the server's answer to so many points."""
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
        """Whether there are intervals."""
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
    """The column with more values: an array as long as all are floats, then a list."""
    if isinstance(column, array) and set(map(type, more)) - {float}:
        column = column.tolist()
    column.extend(more)
    return column
