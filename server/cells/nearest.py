"""Distances of vectors to the nearest learned vectors.

The distance of a vector is the Euclidean distance to the nearest learned vector of another family (:mod:`server.cells.families`).
Bonds of one cell share atoms, and a deformed copy has nearly the same environments, so vectors of the same family are always
close. The reach is the 95 % quantile of the distances of a family's learned vectors, as a median over the families of the composition
of which most were learned. A vector within the reach is *covered*. So a composition is covered if its environments lie as near to
learned ones as those of the best known composition do. A quantile over all learned vectors would grow with compositions and families
that are hardly known, and cover them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from server.core.errors import TooLarge

MAX_VALUES = 5_000_000
"""Numbers that a matrix of vectors holds at most: a larger one takes seconds to fill, in which no other request goes on."""
MAX_LEARNED = 1000
"""Most learned vectors of one type for the comparison. If there are more, a sample is drawn."""
REACH = 0.95
CHUNK = 500


class Learned:
    """The learned vectors of one type.

    Parameters
    ----------
    vectors
        Shape (n, P).
    families
        The family of each vector's cell.
    compositions
        The composition of each vector's cell; None if all are of one.
    """

    def __init__(self, vectors: np.ndarray, families: Sequence[str], compositions: Sequence[str] | None = None) -> None:
        self._places = {family: place for place, family in enumerate(dict.fromkeys(families))}
        self._vectors = vectors
        self._families = np.array([self._places[family] for family in families], dtype=int)
        own = self._distances(vectors, self._families)
        named = {composition: place for place, composition in enumerate(dict.fromkeys(compositions or ()))}
        of = (
            np.array([named[one] for one in compositions], dtype=int)
            if compositions is not None
            else self._families * 0
        )
        self.reach: float | None = reach_of(own, of, self._families)
        """None if fewer than two families were learned."""

    def distances(self, vectors: np.ndarray, families: Sequence[str | None]) -> np.ndarray:
        """Return the distance of each vector, shape (m,); infinite if no other family was learned.

        Parameters
        ----------
        vectors
            Shape (m, P).
        families
            The family of each vector's cell; None if it has none. Learned vectors of the same family are ignored.
        """
        places = [-1 if family is None else self._places.get(family, -1) for family in families]
        return self._distances(vectors, np.array(places, dtype=int))

    def _distances(self, vectors: np.ndarray, families: np.ndarray) -> np.ndarray:
        found = np.full(len(vectors), np.inf)
        if not len(self._vectors):
            return found
        for low in range(0, len(vectors), CHUNK):
            part = slice(low, low + CHUNK)
            between = cdist(vectors[part], self._vectors)
            between[families[part, None] == self._families[None, :]] = np.inf
            found[part] = between.min(axis=1)
        return found


def _best_known(compositions: np.ndarray, families: np.ndarray) -> np.ndarray:
    """Return the compositions of which most families were learned."""
    pairs = np.unique(np.column_stack([compositions, families]), axis=0) if len(families) else np.zeros((0, 2), int)
    found, counts = np.unique(pairs[:, 0], return_counts=True)
    return found[counts == counts.max(initial=0)]


def reach_of(distances: np.ndarray, compositions: np.ndarray, families: np.ndarray) -> float | None:
    """Return the reach; None if no vector has a learned one of another family.

    Parameters
    ----------
    distances
        Of each of n learned vectors to the nearest one of another family, shape (n,); infinite or NaN where there is none.
    compositions, families
        Of each, as whole numbers, shape (n,).
    """
    is_best = np.isfinite(distances) & np.isin(compositions, _best_known(compositions, families))
    of_each = [
        float(np.quantile(distances[is_best & (families == one)], REACH, method="inverted_cdf"))
        for one in np.unique(families[is_best])
    ]
    return float(np.quantile(of_each, 0.5, method="inverted_cdf")) if of_each else None


def matrix(xs: Sequence[dict[str, Any]], names: Sequence[str]) -> np.ndarray:
    """Features by name, shape (n, len(names)); what a point lacks is 0, as everywhere in river.

    Raises
    ------
    TooLarge
        If it would hold more than :data:`MAX_VALUES` numbers.
    """
    if len(xs) * len(names) > MAX_VALUES:
        raise TooLarge(
            f"{len(xs)} observations with {len(names)} different features are too many to compare: the product is at most "
            f"{MAX_VALUES}; ask about fewer observations, or about ones with fewer features"
        )
    found = np.zeros((len(xs), len(names)))
    columns = {name: column for column, name in enumerate(names)}
    for row, x in zip(found, xs, strict=True):
        for name, value in x.items():
            column = columns.get(name)
            if column is not None:
                row[column] = value
    return found
