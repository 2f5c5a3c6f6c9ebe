"""One cell as its page shows it: its bonds, the chosen model, the moment, and how the bonds are colored."""

import numpy as np
from django.http import HttpRequest

from server.cells import cell_bonds, moments
from server.cells.cell_bonds import MOST_BONDS
from server.cells.models import Cell
from server.core.errors import Invalid, TailraceError
from server.dashboard import cell_scene, parameters
from server.dashboard.cell_parameters import chosen_model
from server.learning.records.columns import Unreadable
from server.streams.models import Stream

BY = ("strength", "prediction", "residual", "uncertainty")


class ShownCell:
    """What the page of a cell shows: the cell, its bonds, the chosen model, and how the bonds are colored."""

    def __init__(self, request: HttpRequest, stream: Stream, cell: Cell) -> None:
        self.stream, self.cell = stream, cell
        self.models, self.model = chosen_model(request, stream)
        self.first, self.last = cell.first or 1, cell.last or 0
        self.total = self.last - self.first + 1
        self.parts = max(1, -(-self.total // MOST_BONDS))
        self.part = parameters.whole(request, "part", most=self.parts) or 1
        low = self.first + (self.part - 1) * MOST_BONDS
        self.bonds = cell_bonds.read(stream, cell, low, min(self.last, low + MOST_BONDS - 1))
        self.recorded, self.trouble = 0, ""
        if self.model is not None and self.total > 0:
            try:
                self.recorded = cell_bonds.add_record(self.bonds, self.model)
            except Unreadable as exc:
                self.trouble = f"A part of the record can't be read: {exc}. The server makes it again from the log."
        self.by = parameters.choice(request, "by", BY, "strength")
        self.view = parameters.choice(request, "view", cell_scene.VIEWS, "z")
        self.n = parameters.whole(request, "n", least=0)
        self.at = parameters.whole(request, "at", least=0)
        if self.n is not None and self.at is not None:
            raise Invalid("n and at are both given: expected one of them", field="at")
        if self.n is not None and not self.first - 1 <= self.n <= max(self.last, self.first - 1):
            raise Invalid(
                f"n is {self.n:,}: expected an observation from {self.first - 1:,} to {self.last:,}, which are the cell's",
                field="n",
            )
        self.prediction, self.width = self.bonds.prediction, self.bonds.upper - self.bonds.lower
        if self.at is not None:
            self._go_to(self.at)

    def _go_to(self, at: int) -> None:
        if self.model is None:
            raise Invalid("at is given, but this stream has no regression model", field="at")
        try:
            self.prediction, std = moments.predicted(self.model, at, self.bonds)
            self.width = 2 * moments.LEVEL_95 * std
        except Invalid:
            raise
        except TailraceError as exc:
            self.prediction, self.width = (np.full(len(self.bonds), np.nan) for _ in range(2))
            self.trouble = exc.message

    @property
    def unit(self) -> str:
        return f" ({self.stream.target_unit})" if self.stream.target_unit else ""

    def values(self, by: str) -> np.ndarray:
        """Return the values of the bonds that are colored by ``by``; NaN for those that are not learned at ``n``."""
        if by == "strength":
            return self.bonds.label
        own = {
            "prediction": self.prediction,
            "residual": self.prediction - self.bonds.label,
            "uncertainty": self.width,
        }[by]
        if self.n is None:
            return own
        return np.where(np.array(self.bonds.numbers) <= self.n, own, np.nan)

    def coloring(self, by: str) -> cell_scene.Coloring:
        """Return the bins, which are the same at each ``n`` and, where the model has a record, at each moment."""
        target = self.stream.target_name
        labels = {
            "strength": f"{target}{self.unit}",
            "prediction": f"predicted {target}{self.unit}",
            "residual": f"residual, prediction minus {target}{self.unit}",
            "uncertainty": f"width of the 95 % interval{self.unit}",
        }
        recorded = {
            "strength": self.bonds.label,
            "prediction": self.bonds.label,
            "residual": self.bonds.residual,
            "uncertainty": self.bonds.upper - self.bonds.lower,
        }[by]
        if not np.isfinite(recorded).any():
            recorded = self.values(by)
        return cell_scene.coloring(by, labels[by], recorded)

    @property
    def moments(self) -> list[int]:
        return [] if self.model is None else moments.offered(self.model, self.first, self.last)


def sentence(shown: ShownCell, coloring: cell_scene.Coloring) -> str:
    """Return what the picture shows."""
    said = f"{shown.cell.composition}: {len(shown.bonds):,} bonds"
    if shown.parts > 1:
        said += f" of {shown.total:,}"
    if not coloring.edges:
        return f"{said}. There is nothing to color them by: {coloring.label} is not known."
    values = shown.values(coloring.name)
    known = values[np.isfinite(values)]
    if not len(known):
        return f"{said}, none of which has a value yet, of {coloring.label}."
    found = f"{said}, colored by {coloring.label}: {known.min():.3g} to {known.max():.3g}, mean {known.mean():.3g}"
    if len(known) < len(values):
        found += f"; {len(values) - len(known):,} have no value"
    return f"{found}."
