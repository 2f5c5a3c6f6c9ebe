"""The bonds of a cell with their labels, and with what a model's record says of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from server.cells import bond_atoms, structure
from server.cells.bond_atoms import DISTANCE, Placed
from server.cells.models import Cell
from server.cells.structure import Structure, Unreadable
from server.learning.models import Model
from server.learning.records import columns as stored
from server.learning.records import reading
from server.streams import log
from server.streams.models import Retraction, Stream

MOST_BONDS = 1000
"""Most bonds of a cell that are read at once."""


@dataclass
class CellBonds:
    """Consecutive bonds of a cell. Arrays have one value for each bond, NaN where there is none.

    Attributes
    ----------
    first
        Number of the first observation.
    kinds
        Type of each bond, such as ``Zr-Cu``.
    length, label
        Length in Å; target of the observation.
    xs
        Features; None where they are no longer kept.
    retracted
        Numbers of observations that were retracted.
    atoms
        The structure; None if it can't be read.
    placed
        The atoms of each bond; None if the structure can't be read.
    trouble
        Why bonds have no atoms; empty if they have.
    prediction, lower, upper
        What the model predicted before it learned the bond, and its 95 % interval.
    """

    first: int
    kinds: list[str]
    length: np.ndarray
    label: np.ndarray
    xs: list[dict[str, Any] | None]
    retracted: set[int]
    atoms: Structure | None = None
    placed: Placed | None = None
    trouble: str = ""
    prediction: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lower: np.ndarray = field(default_factory=lambda: np.zeros(0))
    upper: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def last(self) -> int:
        return self.first + len(self) - 1

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1)

    @property
    def residual(self) -> np.ndarray:
        """Prediction minus label."""
        return self.prediction - self.label


def read(stream: Stream, cell: Cell, first: int, last: int) -> CellBonds:
    """Return the bonds of a labeled cell that are observations ``first`` to ``last``, with their atoms."""
    xs: list[dict[str, Any] | None] = []
    ys: list[Any] = []
    for span in log.spans(stream.pk, first - 1, last):
        xs += span.xs
        ys += span.ys
    kinds = ["" if stream.segment is None else str((x or {}).get(stream.segment, "")) for x in xs]
    retracted = set(Retraction.objects.filter(stream=stream, seq__range=(first, last)).values_list("seq", flat=True))
    length = np.array([_number((x or {}).get(DISTANCE)) for x in xs], dtype=float)
    found = CellBonds(first, kinds, length, np.array([_number(y) for y in ys], dtype=float), xs, retracted)
    found.prediction, found.lower, found.upper = (np.full(len(found), np.nan) for _ in range(3))
    _place(found, cell)
    return found


def _number(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else float("nan")


def _place(found: CellBonds, cell: Cell) -> None:
    try:
        found.atoms = structure.read(cell.structure)
        found.placed = bond_atoms.place(found.atoms, found.kinds, found.length)
    except Unreadable as exc:
        found.trouble = f"The structure can't be drawn: {exc}."
        return
    missing = int((found.placed.i < 0).sum())
    if missing and np.isnan(found.length).all():
        found.trouble = f"The observations have no feature {DISTANCE}, so it is not known which atoms they are between."
    elif missing:
        found.trouble = f"{missing:,} of {len(found):,} bonds fit no two atoms of the structure by type and length."


def add_record(found: CellBonds, model: Model) -> int:
    """Fill in what a model predicted for the bonds before it learned them. Return how many are recorded.

    Raises
    ------
    Unreadable
        Of :mod:`server.learning.records.columns`, if a block of the record is damaged.
    """
    recorded = 0
    low, high = reading.chosen(reading.extent(model), found.first, found.last)
    for block in reading.blocks(model, low, high, ("state", "prediction", "lower", "upper")):
        part = slice(block.first - found.first, block.last - found.first + 1)
        scored = block.values["state"] == stored.SCORED
        for name in ("prediction", "lower", "upper"):
            column = block.values.get(name)
            if column is not None:
                getattr(found, name)[part] = np.where(scored, column, np.nan)
        recorded += len(block)
    return recorded
