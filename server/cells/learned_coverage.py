"""How well the bonds of each composition are covered by learned bonds of other families, and the nearest learned bonds of one."""

import math
from collections import defaultdict
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.cells import all_distances, exporting, learned_bonds, reference
from server.cells.learned_bonds import LearnedBonds
from server.cells.nearest import MAX_LEARNED, Learned, matrix, reach_of
from server.cells.selection import Selected
from server.cells.vectors import VectorFile
from server.learning.models import Model
from server.streams.models import Stream

NEAREST = 5
Z_90 = 1.644854
"""Half the width of a 90 % interval of a normal distribution, in standard deviations."""


@dataclass
class Share:
    """How many of some bonds have a learned bond of another family within reach."""

    covered: int = 0
    compared: int = 0
    learned: int = 0
    """Learned bonds, of which those compared are a sample."""

    def add(self, covered: int, compared: int, learned: int) -> None:
        """Add the bonds of a type."""
        self.covered += covered
        self.compared += compared
        self.learned += learned

    @property
    def share(self) -> float | None:
        return self.covered / self.compared if self.compared else None

    @property
    def error(self) -> float | None:
        """Half the width of the share's 90 % interval (Wilson), since a sample was compared; 0 if all were."""
        if not self.compared or self.share is None:
            return None
        if self.compared >= self.learned:
            return 0.0
        n, z = self.compared, Z_90
        return z * math.sqrt(self.share * (1 - self.share) / n + z * z / (4 * n * n)) / (1 + z * z / n)


@dataclass(frozen=True)
class Neighbour:
    """A learned bond near another one."""

    number: int
    cell: str
    composition: str
    distance: float
    label: Any


@dataclass(frozen=True)
class Neighbours:
    """The learned bonds nearest to one, and how far a bond is covered.

    Attributes
    ----------
    nearest
        The nearest first, of other families only.
    reach
        Distance up to which a bond counts as covered; None if fewer than two families were learned.
    compared
        Learned bonds that it was compared with.
    learned
        Learned bonds of its type.
    """

    nearest: list[Neighbour]
    reach: float | None
    compared: int
    learned: int


@dataclass(frozen=True)
class Compared:
    """A sample of the learned bonds of each type, and how far each is from the nearest one of another family.

    Attributes
    ----------
    learned
        All learned bonds.
    drawn
        For each type, the places of the bonds that were compared; none for a type that was left out.
    distances
        For each type, the distance of each of them; infinite or NaN where there is none.
    """

    learned: LearnedBonds
    drawn: list[np.ndarray]
    distances: list[np.ndarray]

    def shares(self) -> dict[str, dict[str, Share]]:
        """Return composition to bond type to the covered share of its learned bonds; ``""`` has all types together."""
        found: dict[str, dict[str, Share]] = defaultdict(lambda: defaultdict(Share))
        learned, size = self.learned, len(self.learned.composition_names)
        for code, (own, distances) in enumerate(zip(self.drawn, self.distances, strict=True)):
            of_kind = learned.kinds == code
            reach = reach_of(distances, learned.compositions[own], learned.families[own])
            if reach is None:
                continue
            is_known = ~np.isnan(distances)
            compared = np.bincount(learned.compositions[own[is_known]], minlength=size)
            covered = np.bincount(learned.compositions[own[is_known & (distances <= reach)]], minlength=size)
            whole = np.bincount(learned.compositions[of_kind], minlength=size)
            for place, composition in enumerate(learned.composition_names):
                if compared[place]:
                    for name in (learned.kind_names[code], ""):
                        found[composition][name].add(int(covered[place]), int(compared[place]), int(whole[place]))
        return found

    def of_families(self) -> dict[str, float]:
        """Return family to the mean distance of its bonds; without those families of which none was compared."""
        places = np.concatenate(self.drawn) if self.drawn else np.zeros(0, dtype=np.int64)
        distances = np.concatenate(self.distances) if self.distances else np.zeros(0)
        is_known = np.isfinite(distances)
        families, size = self.learned.families[places[is_known]], len(self.learned.family_names)
        counts, sums = np.bincount(families, minlength=size), np.bincount(families, distances[is_known], minlength=size)
        return {
            name: float(sums[place] / counts[place])
            for place, name in enumerate(self.learned.family_names)
            if counts[place]
        }


def by_composition(model: Model, upto: int, retraction: int = reference.EVER) -> dict[str, dict[str, Share]]:
    """Return composition to bond type to the covered share of its learned bonds; ``""`` has all types together.

    A bond is covered if a learned bond of another family is within the reach (:mod:`server.cells.nearest`).

    Raises
    ------
    TooLarge
        If the observations are too large to compare.
    """
    return compared(model, upto, retraction).shares()


def compared(
    model: Model, upto: int, retraction: int = reference.EVER, kinds: Collection[str] | None = None
) -> Compared:
    """Compare a sample of the learned bonds of each of these types, or of all, with all learned bonds of the type.

    At most :data:`server.cells.nearest.MAX_LEARNED` bonds of a type are drawn. Without a descriptor, they are compared with
    each other.

    Raises
    ------
    TooLarge
        If the observations are too large to compare.
    """
    stream = model.stream
    learned = learned_bonds.read(stream.pk, max(model.since, stream.whole_after), upto, retraction)
    none = np.zeros(0, dtype=np.int64)
    drawn = [
        learned.sample(code, MAX_LEARNED) if kinds is None or kind in kinds else none
        for code, kind in enumerate(learned.kind_names)
    ]
    return Compared(learned, drawn, _measured(stream, learned, drawn))


def _measured(stream: Stream, learned: LearnedBonds, drawn: list[np.ndarray]) -> list[np.ndarray]:
    """Return the distances of those drawn of each type; NaN where features are no longer kept."""
    if stream.descriptor is not None and any(
        0 < len(own) < np.count_nonzero(learned.kinds == code) for code, own in enumerate(drawn)
    ):
        with closing(VectorFile(stream)) as file:
            return all_distances.measured(file, learned, drawn)
    found = []
    for code, own in enumerate(drawn):
        kind = learned.kind_names[code]
        bonds = [
            Selected(number, "", "", kind, learned.family_names[family])
            for number, family in zip(learned.numbers[own].tolist(), learned.families[own].tolist(), strict=True)
        ]
        kept = reference.by_type(exporting.read(stream.pk, bonds)).get(kind, [])
        vectors = matrix([one.x for one in kept], reference.vector_names(stream, [one.x for one in kept]))
        families = [one.one.family for one in kept]
        distances = np.full(len(own), np.nan)
        rows = np.searchsorted(learned.numbers[own], [one.one.number for one in kept])
        distances[rows] = Learned(vectors, families).distances(vectors, families)
        found.append(distances)
    return found


def nearest(stream: Stream, since: int, upto: int, kind: str, family: str, x: dict[str, Any]) -> Neighbours:
    """Return the learned bonds that are nearest to a bond, among those after ``since`` up to ``upto`` of other families.

    Raises
    ------
    TooLarge
        If the observations are too large to compare.
    """
    learned = reference.learned(stream.pk, since, upto).get(kind, [])
    others = [one for one in learned if one.family != family]
    drawn = [one for one in reference.drawn(stream.pk, {kind: others}, {kind}).get(kind, []) if one.x is not None]
    names = reference.vector_names(stream, [*(one.x for one in drawn), x])
    vectors = matrix([one.x for one in drawn], names)
    reach = Learned(vectors, [one.one.family for one in drawn], [one.one.composition for one in drawn]).reach
    distances = np.linalg.norm(vectors - matrix([x], names), axis=1)
    chosen = np.argsort(distances, kind="stable")[:NEAREST].tolist()
    found = [
        Neighbour(one.one.number, one.one.cell, one.one.composition, float(distances[index]), one.y)
        for index in chosen
        for one in (drawn[index],)
    ]
    return Neighbours(found, reach, len(drawn), len(others))
