"""A coverage row: sums over the observations of a type, a composition or a cell."""

import math
from typing import Any

from server.learning.evaluation import Estimate


class Tally:
    """Sums over observations, and the row computed from them."""

    def __init__(self) -> None:
        self.learned = self.scored = self.tested = self.refused = self.with_std = self.covered = 0
        self.squares = self.test_squares = self.stds = 0.0
        self.distances: list[float] = []
        self.has_reach = True

    def add_distance(self, distance: float, reach: float | None, *, is_known: bool) -> None:
        """Add a tested observation.

        Parameters
        ----------
        distance
            Distance to the nearest learned observation; infinite if there is none.
        reach
            Reach of the learned observations of its type; None if it can't be determined.
        is_known
            Whether any observation of its type was learned.
        """
        self.tested += 1
        self.distances.append(distance)
        # If nothing is learned, nothing is covered. If only one cell is learned, the reach can't be determined.
        self.has_reach &= reach is not None or not is_known
        self.covered += reach is not None and distance <= reach

    def add_estimate(self, estimate: Estimate | None, target: float | None = None) -> None:
        """Add the model's estimate for it (None if the model failed), and its target if it has one."""
        if estimate is None:
            self.refused += 1
            return
        if target is not None:
            self.test_squares += (estimate.prediction - target) ** 2
        if estimate.std is not None:
            self.with_std += 1
            self.stds += estimate.std

    def shown(self) -> dict[str, Any]:
        """Return the row as the API shows it."""
        answered = self.tested - self.refused
        has_distance = bool(self.distances) and all(map(math.isfinite, self.distances))
        return {
            "learned": self.learned,
            "scored": self.scored,
            "prequential_rmse": _root(self.squares, self.scored),
            "tested": self.tested,
            "refused": self.refused,
            "rmse": _root(self.test_squares, answered),
            "std": self.stds / self.with_std if self.with_std else None,
            "distance": math.fsum(self.distances) / len(self.distances) if has_distance else None,
            "farthest": max(self.distances) if has_distance else None,
            "covered": self.covered / self.tested if self.tested and self.has_reach else None,
        }


def _root(squares: float, n: int) -> float | None:
    return math.sqrt(squares / n) if n else None
