"""Errors of a model by composition, bond type and cell, from the model's record."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.cells.models import Cell
from server.learning.models import Model
from server.learning.records import calibration
from server.learning.records.columns import Columns

MOST_READ = calibration.MOST_READ
MOST_CELLS = 5000
"""Most cells, the newest, that errors are computed for."""

COLUMNS = ("scored", "RMSE", "MAE", "bias", "covered")


@dataclass(frozen=True)
class Worst:
    """The bond of a cell with the largest residual."""

    number: int
    residual: float


class CellErrors:
    """Errors of a model on the newest cells of its stream.

    Parameters
    ----------
    model
        The model, with its stream loaded.

    Attributes
    ----------
    first, last
        The observations that were read.
    has_all
        Whether every recorded observation and every cell was.

    Raises
    ------
    Unreadable
        Of :mod:`server.learning.records.columns`, if a block of the record is damaged.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.first, self.last = calibration.latest(model, None, None, MOST_READ)
        columns = calibration.read(model, None, None, MOST_READ)
        rows = Cell.objects.filter(stream=model.stream_id, status=Cell.LABELED, last__gte=self.first)
        cells = list(rows.order_by("-first").values_list("name", "composition", "first", "last")[: MOST_CELLS + 1])
        self.has_all = self.first <= max(model.since, model.stream.whole_after) + 1 and len(cells) <= MOST_CELLS
        self._worst: dict[str, Worst] = {}
        self._compositions: list[str] = []
        self._columns = columns
        self._of = np.zeros(0, np.int64)
        if columns is not None:
            self._sort(columns, cells[:MOST_CELLS])

    def _sort(self, columns: Columns, cells: Sequence[tuple[Any, ...]]) -> None:
        errors = columns.errors
        self._of = np.full(len(columns), -1)
        places: dict[str, int] = {}
        for name, composition, first, last in cells:
            part = slice(max(0, first - columns.first), max(0, last - columns.first + 1))
            self._of[part] = places.setdefault(composition, len(places))
            own = np.abs(errors[part])
            if len(own) and not np.isnan(own).all():
                index = part.start + int(np.nanargmax(own))
                self._worst[name] = Worst(columns.first + index, float(errors[index]))
        self._compositions = list(places)

    def worst(self, cell: str) -> Worst | None:
        """Return the bond of a cell with the largest residual; None if none of its bonds was scored."""
        return self._worst.get(cell)

    @property
    def worst_first(self) -> list[str]:
        """Names of the cells, the one with the largest residual first."""
        return sorted(self._worst, key=lambda name: (-abs(self._worst[name].residual), name))

    def by_composition(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return composition to bond type to the row of its errors; ``""`` has the row of all types.

        Each row has ``scored`` (observations), ``RMSE``, ``MAE``, ``bias`` (in the target's unit) and ``covered`` (the share
        of labels within the 95 % interval; None without intervals).
        """
        found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        if self._columns is None:
            return found
        columns = self._columns
        kinds = columns.segments or [""]
        errors = columns.errors
        chosen = (self._of >= 0) & ~np.isnan(errors)
        of, error = self._of[chosen], errors[chosen]
        kind = columns.values["segment"][chosen].astype(np.int64) if columns.segments else np.zeros(len(of), np.int64)
        lower, upper, y = (columns.values.get(name) for name in ("lower", "upper", "y"))
        inside = np.full(len(of), np.nan)
        if lower is not None and upper is not None and y is not None:
            low, high = lower[chosen], upper[chosen]
            inside = np.where(np.isnan(low), np.nan, (low <= y[chosen]) & (y[chosen] <= high))
        size = len(self._compositions) * len(kinds)
        sums = _Sums(of * len(kinds) + kind, error, inside, size)
        for place, composition in enumerate(self._compositions):
            rows = np.arange(place * len(kinds), (place + 1) * len(kinds))
            for row in rows[sums.count[rows] > 0].tolist():
                name = kinds[row % len(kinds)]
                if name:
                    found[composition][name] = sums.row([row])
            if sums.count[rows].any():
                found[composition][""] = sums.row(rows)
        return found


class _Sums:
    """Sums by group, and rows made of them."""

    def __init__(self, group: np.ndarray, error: np.ndarray, inside: np.ndarray, size: int) -> None:
        banded = ~np.isnan(inside)
        self.count = np.bincount(group, minlength=size)
        self._error = np.bincount(group, error, size)
        self._magnitude = np.bincount(group, np.abs(error), size)
        self._square = np.bincount(group, error**2, size)
        self._banded = np.bincount(group[banded], minlength=size)
        self._inside = np.bincount(group[banded], inside[banded], size)

    def row(self, groups: Sequence[int] | np.ndarray) -> dict[str, Any]:
        count, banded = int(self.count[groups].sum()), int(self._banded[groups].sum())
        return {
            "scored": count,
            "RMSE": float(np.sqrt(self._square[groups].sum() / count)),
            "MAE": float(self._magnitude[groups].sum() / count),
            "bias": float(self._error[groups].sum() / count),
            "covered": float(self._inside[groups].sum() / banded) if banded else None,
        }
