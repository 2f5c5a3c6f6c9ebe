"""One row of what active learning decides by: sums over observations of a type, a composition or a cell."""

import math
from typing import Any

from server.learning.evaluation import Opinion


class Tally:
    """Sums over observations, and what they come to."""

    def __init__(self) -> None:
        self.learned = self.scored = self.tested = self.refused = self.with_std = self.covered = 0
        self.squares = self.test_squares = self.stds = 0.0
        self.distances: list[float] = []
        self.has_reach = True

    def place(self, distance: float, reach: float | None, *, is_known: bool) -> None:
        """Count an observation that is asked about.

        Parameters
        ----------
        distance
            To the nearest learned one; infinite where there is none.
        reach
            Of what was learned of its type; None where nobody can say.
        is_known
            Whether anything of its type was learned.
        """
        self.tested += 1
        self.distances.append(distance)
        # Nothing learned: nothing is covered. One cell learned: nobody can say how far it reaches.
        self.has_reach &= reach is not None or not is_known
        self.covered += reach is not None and distance <= reach

    def judge(self, opinion: Opinion | None, target: float | None = None) -> None:
        """Count what the model says of it; its target where there is one."""
        if opinion is None:
            self.refused += 1
            return
        if target is not None:
            self.test_squares += (opinion.prediction - target) ** 2
        if opinion.std is not None:
            self.with_std += 1
            self.stds += opinion.std

    def shown(self) -> dict[str, Any]:
        """All of it, as the API shows it."""
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
