"""The bonds that an evaluation learns and tests, and their families."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.cells import databases, exporting, selection
from server.cells.models import Database
from server.cells.selection import Selected
from server.core.errors import Conflict, Invalid
from server.streams.models import Stream

MOST_BONDS = 20_000
"""Most bonds of an evaluation: each is learned and predicted several times."""


@dataclass(frozen=True)
class TestedBonds:
    """n bonds, in the log's order.

    Attributes
    ----------
    bonds
        Number, cell, composition, type and family of each.
    xs
        Features of each.
    y
        Targets, shape (n,).
    """

    bonds: Sequence[Selected]
    xs: Sequence[dict[str, Any]]
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.bonds)

    def column(self, name: str) -> np.ndarray:
        """Return ``family``, ``cell``, ``composition`` or ``type`` of each bond, shape (n,)."""
        return np.array([getattr(one, name) for one in self.bonds], dtype=object)

    @property
    def families(self) -> list[str]:
        """All families, sorted by name."""
        return sorted({one.family for one in self.bonds})


def read(stream: Stream, database: Database | None, position: int, retraction: int) -> TestedBonds:
    """Return the bonds of a database, or all of the stream up to a position of the log.

    Raises
    ------
    Conflict
        If the database is of another stream.
    Invalid
        If there are no bonds, or more than :data:`MOST_BONDS`.
    """
    if database is not None and database.stream_id != stream.pk:
        raise Conflict(
            f"database {database.name} is of stream {database.stream.name}: expected one of {stream.name}",
            field="database",
        )
    if database is None:
        everything = selection.Definition(None, None, None, 0)
        chosen = selection.select(stream.pk, everything, position, retraction)
    else:
        chosen = databases.selected(database)
    if not 0 < len(chosen) <= MOST_BONDS:
        what = f"stream {stream.name}" if database is None else f"database {database.name}"
        remedy = 'create a smaller database, such as {"types": {"Zr-Cu": 600, …}}' if chosen else "label cells first"
        raise Invalid(
            f"{what} has {len(chosen)} bonds of cells: expected 1 to {MOST_BONDS}; {remedy}",
            field="database",
            code="too_many",
        )
    kept = [
        labeled
        for some in exporting.read(stream.pk, chosen)
        for labeled in some
        if labeled.x is not None and _is_number(labeled.y)
    ]
    return TestedBonds(
        [one.one for one in kept], [one.x for one in kept], np.array([one.y for one in kept], dtype=float)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def folds(families: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """Deal families into ``count`` folds, as equal as can be; the same for the same names and seed, in every process."""
    order = shuffled(families, seed)
    return [sorted(order[place::count]) for place in range(min(count, len(order)))]


def shuffled(families: Sequence[str], seed: int) -> list[str]:
    """Return families in an order that depends on their names and the seed alone."""
    return sorted(families, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
