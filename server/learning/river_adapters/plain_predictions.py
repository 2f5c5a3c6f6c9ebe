"""Conversion of an estimator's predictions to plain data. It needs neither Django nor a database."""

import math
from typing import Any

import numpy as np

MOST_VALUES = 10_000
"""Values in one prediction."""


def plain(value: Any) -> Any:
    """Return a prediction as plain data: NumPy scalars become Python's, floats keep every bit.

    Raises
    ------
    TypeError, OverflowError
        If JSON, and so the log, can't represent it, or if it holds too many values.
    """
    if type(value) is float:
        return value
    return _Plain().of(value)


class _Plain:
    """One conversion, with a count of values."""

    def __init__(self) -> None:
        self.left = MOST_VALUES

    def of(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (float, bool, str)):
            return value
        if isinstance(value, int):
            if not -(2**63) <= value < 2**64:
                raise OverflowError("the prediction is an integer of more than 64 bits")
            return value
        if isinstance(value, np.ndarray):
            self._count(math.prod(max(1, size) for size in value.shape))
            value = value.tolist()
        if isinstance(value, dict):
            self._count(len(value))
            return {self.of(key): self.of(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            self._count(len(value))
            return [self.of(item) for item in value]
        raise TypeError(
            f"the prediction is a {type(value).__name__}: expected a number, a label or a collection of them"
        )

    def _count(self, values: int) -> None:
        self.left -= values
        if self.left < 0:
            raise OverflowError(f"the prediction holds more than {MOST_VALUES} values")
