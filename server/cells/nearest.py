"""How far vectors lie from those that were learned.

The distance of a vector is the Euclidean one to the nearest learned vector of another cell: bonds of one cell share atoms, so
that their own neighbours would always be close. The reach of what was learned is the distance within which 95 % of the
learned vectors lie from their own nearest; a vector within it is *covered*.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

MOST = 1000
"""Learned vectors of one type that others are compared with, drawn by lot where there are more."""
REACH = 0.95
CHUNK = 500


class Learned:
    """The learned vectors of one type.

    Parameters
    ----------
    vectors
        Shape (n, P).
    cells
        The cell of each, n of them.
    """

    def __init__(self, vectors: np.ndarray, cells: Sequence[Any]) -> None:
        self._places = {cell: place for place, cell in enumerate(dict.fromkeys(cells))}
        self._vectors = vectors
        self._cells = np.array([self._places[cell] for cell in cells], dtype=int)
        own = self._distances(vectors, self._cells)
        own = own[np.isfinite(own)]
        self.reach: float | None = float(np.quantile(own, REACH, method="inverted_cdf")) if len(own) else None
        """None where fewer than two cells were learned."""

    def distances(self, vectors: np.ndarray, cells: Sequence[Any]) -> np.ndarray:
        """The distance of each vector, shape (m,); infinite where no other cell was learned.

        Parameters
        ----------
        vectors
            Shape (m, P).
        cells
            The cell of each, whose own learned vectors don't count.
        """
        return self._distances(vectors, np.array([self._places.get(cell, -1) for cell in cells], dtype=int))

    def _distances(self, vectors: np.ndarray, cells: np.ndarray) -> np.ndarray:
        found = np.full(len(vectors), np.inf)
        if not len(self._vectors):
            return found
        for low in range(0, len(vectors), CHUNK):
            part = slice(low, low + CHUNK)
            between = cdist(vectors[part], self._vectors)
            between[cells[part, None] == self._cells[None, :]] = np.inf
            found[part] = between.min(axis=1)
        return found


def matrix(xs: Sequence[dict[str, Any]], names: Sequence[str]) -> np.ndarray:
    """Features by name, shape (n, len(names)); what a point lacks is 0, as everywhere in river."""
    return np.array([[x.get(name, 0.0) for name in names] for x in xs], dtype=float).reshape(len(xs), len(names))
