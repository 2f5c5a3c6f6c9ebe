"""What filters and orders consist of, as they are parsed."""

from dataclasses import dataclass
from typing import Any

NUMBER_OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
TEXT_OPERATORS = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
PAIR_OPERATORS = ("=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL")
"""Operators of what has a key and a text: tags and params."""


@dataclass(frozen=True)
class Clause:
    """One condition of a filter, such as ``metrics.loss < 0.1``.

    Parameters
    ----------
    entity
        What the column is part of, as it is written: ``metrics``; "" if none is.
    key
        The name of the column: ``loss``.
    operator
        In capitals: one of :data:`NUMBER_OPERATORS`, :data:`TEXT_OPERATORS` and :data:`PAIR_OPERATORS`.
    value
        A text, a number, a tuple of texts, or None for ``IS NULL`` and ``IS NOT NULL``.
    """

    entity: str
    key: str
    operator: str
    value: Any

    @property
    def column(self) -> str:
        return f"{self.entity}.{self.key}" if self.entity else self.key


@dataclass(frozen=True)
class Order:
    """One column of an order, such as ``metrics.loss DESC``."""

    entity: str
    key: str
    ascending: bool

    @property
    def column(self) -> str:
        return f"{self.entity}.{self.key}" if self.entity else self.key
