"""Distances of a sample of learned vectors to all others of another family, among a million.

A matrix product in small blocks finds the nearest vector, and the distance to it is then computed on its own. So the result does
not depend on the processor or the number of threads. Trees were tried: with 64 numbers in a vector they are slower by twenty times.
"""

import numpy as np

from server.cells.learned_bonds import LearnedBonds
from server.cells.vectors import VectorFile


def measured(file: VectorFile, learned: LearnedBonds, drawn: list[np.ndarray]) -> list[np.ndarray]:
    """Return the distance of each bond that was drawn to the nearest learned one of its type in another family.

    Parameters
    ----------
    file
        The vectors of the stream.
    learned
        All learned bonds.
    drawn
        For each type, the places of the n bonds that are measured.

    Returns
    -------
    list of ndarray
        For each type, shape (n,): infinite where no other family has the type, NaN where features are no longer kept.
    """
    asked = [_Asked(file.rows(learned.numbers[own]), learned.families[own]) for own in drawn]
    upto = int(learned.numbers[-1]) if len(learned.numbers) else 0
    for first, block in file.blocks(upto):
        low, high = np.searchsorted(learned.numbers, [first, first + len(block)]).tolist()
        places = learned.numbers[low:high] - first
        kinds, families = learned.kinds[low:high], learned.families[low:high]
        is_kept = ~np.isnan(block[places, 0])
        for code in np.unique(kinds).tolist():
            of_kind = np.flatnonzero((kinds == code) & is_kept)
            if len(of_kind):
                asked[code].meet(block[places[of_kind]], families[of_kind])
    return [one.nearest for one in asked]


class _Asked:
    """The nearest of the vectors met so far, for each of n vectors that are asked about."""

    def __init__(self, vectors: np.ndarray, families: np.ndarray) -> None:
        self._vectors, self._families = vectors, families
        self._is_known = ~np.isnan(vectors).any(axis=1)
        self._centre = vectors[self._is_known].mean(axis=0) if self._is_known.any() else 0.0
        moved = np.where(self._is_known[:, None], vectors - self._centre, 0.0)
        # One product gives the squares of distances, but for the square of the vector itself.
        self._factors = np.column_stack([-2.0 * moved, np.ones(len(moved))])
        self.nearest = np.where(self._is_known, np.inf, np.nan)

    def meet(self, others: np.ndarray, families: np.ndarray) -> None:
        if not self._is_known.any():
            return
        moved = others - self._centre
        between = self._factors @ np.column_stack([moved, np.einsum("ij,ij->i", moved, moved)]).T
        for family in set(self._families.tolist()).intersection(families.tolist()):
            columns = np.flatnonzero(families == family)
            rows = np.flatnonzero(self._families == family)
            # Bonds of a cell follow each other, and so do those of a family that one calculation made.
            if columns[-1] - columns[0] + 1 == len(columns):
                between[rows, columns[0] : columns[-1] + 1] = np.inf
            else:
                between[np.ix_(rows, columns)] = np.inf
        found = between.argmin(axis=1)
        rows = np.flatnonzero(np.isfinite(between[np.arange(len(found)), found]) & self._is_known)
        exact = np.sqrt(((self._vectors[rows] - others[found[rows]]) ** 2).sum(axis=1))
        self.nearest[rows] = np.minimum(self.nearest[rows], exact)
