"""What the observations of a stream have had so far: the schema that it is held to where it declares none.

It is a fold over the log like a model, but one whose parts can be put together: that of observations 1 to 10 and that of 11 to 20
give that of 1 to 20. A retracted observation stays in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import compress
from math import inf, isfinite
from typing import Any

from server.streams.codec import exact, loads

NUMBER, BOOLEAN, CATEGORY = 1, 2, 4
KINDS = {int: NUMBER, float: NUMBER, bool: BOOLEAN, str: CATEGORY}

COUNT, LOW, HIGH, KIND, VALUES = range(5)
"""What is known of a feature: how many observations have it, its least and greatest number, the bits of its kinds, and its
strings (None: there are more than :data:`MOST_VALUES`). A list, since every value that is learned passes through it."""

MOST_VALUES = 20
"""Different strings of one feature that are kept; where there are more, no string is outside of them."""

LONGEST_VALUE = 100
"""Characters of the longest of them; a feature that has longer ones is text, of which none is outside."""

USUAL = 0.95
"""Share of the observations that have a feature, from which on one without it misses it."""

FEW = 8
"""Points below which looking at columns costs more than looking at points."""

_NUMBERS = {int, float}

Point = dict[str, Any]


class Summary:
    """Of the observations ``after + 1 … upto``.

    Parameters
    ----------
    after
        The observation before the first.
    ranged
        Whether to keep ranges of numbers. Without, no number is outside.
    """

    def __init__(self, after: int = 0, *, ranged: bool = True) -> None:
        self.after = self.upto = after
        self.ranged = ranged
        self.count = 0
        """Of observations that it was made from: those that aren't kept any more aren't among them."""
        self.features: dict[str, list[Any]] = {}
        self.usual: set[str] = set()
        """Features that (nearly) every observation has."""

    def add(self, xs: Sequence[Point | None], upto: int) -> None:
        """Take in the observations that end with number ``upto``; None stands for one that isn't kept."""
        self.upto = upto
        points = [x for x in xs if x is not None]
        if not points:
            return
        self.count += len(points)
        if len(points) == 1:
            self._note_one(points[0])
            names, in_all = points[0].keys(), True
        else:
            columns, in_all = _columns(points)
            for name, values in columns.items():
                self._note(name, values)
            names = columns.keys()
        if not (in_all and names == self.usual):
            self._weigh(names)

    def merge(self, later: "Summary") -> None:
        """Take in what was made of the observations that follow."""
        self.upto = later.upto
        self.count += later.count
        for name, (count, low, high, kind, values) in later.features.items():
            one = self._feature(name)
            one[COUNT] += count
            one[LOW], one[HIGH] = min(one[LOW], low), max(one[HIGH], high)
            one[KIND] |= kind
            self._note_strings(one, values)
        self._weigh(later.features)

    def _feature(self, name: str) -> list[Any]:
        one = self.features.get(name)
        if one is None:
            one = self.features[name] = [0, inf, -inf, 0, set()]
        return one

    def _note_one(self, x: Point) -> None:
        # As often as a point is learned and the next predicted.
        features = self.features
        for name, value in x.items():
            one = features.get(name)
            kind = type(value)
            if one is None or kind is str or kind is bool:
                self._note(name, (value,))
                continue
            one[COUNT] += 1
            one[KIND] |= NUMBER
            if not one[LOW] <= value <= one[HIGH]:
                low, high = (value, value) if self.ranged else (-inf, inf)
                one[LOW], one[HIGH] = min(one[LOW], low), max(one[HIGH], high)

    def _note(self, name: str, values: Sequence[Any]) -> None:
        one = self._feature(name)
        one[COUNT] += len(values)
        types = set(map(type, values))
        numbers = values
        if not types <= _NUMBERS:
            numbers = [value for value in values if type(value) in _NUMBERS]
            if str in types:
                one[KIND] |= CATEGORY
                self._note_strings(one, {value for value in values if type(value) is str})
            if bool in types:
                one[KIND] |= BOOLEAN
        if numbers:
            one[KIND] |= NUMBER
            low, high = (min(numbers), max(numbers)) if self.ranged else (-inf, inf)
            if low < one[LOW]:
                one[LOW] = low
            if high > one[HIGH]:
                one[HIGH] = high

    def _note_strings(self, one: list[Any], values: set[str] | None) -> None:
        if one[VALUES] is None or values is None:
            one[VALUES] = None
            return
        one[VALUES] |= values
        if len(one[VALUES]) > MOST_VALUES or any(len(value) > LONGEST_VALUE for value in values):
            one[VALUES] = None

    def _weigh(self, names: Iterable[str]) -> None:
        """Find out which features are usual, after some came again: of the others none can have become so."""
        features, least = self.features, USUAL * self.count
        self.usual = {name for name in self.usual.union(names) if features[name][COUNT] >= least}

    # Held against a point

    def knows(self, x: Point) -> bool:
        """Whether the point is like those that were seen, in all that :mod:`server.streams.unfamiliar` tells."""
        features = self.features
        for name, value in x.items():
            one = features.get(name)
            if one is None:
                return False
            kind = type(value)
            if kind is float or kind is int:
                if not one[LOW] <= value <= one[HIGH]:
                    return False
            elif kind is bool:
                if not one[KIND] & BOOLEAN:
                    return False
            elif not one[KIND] & CATEGORY or (one[VALUES] is not None and value not in one[VALUES]):
                return False
        return x.keys() >= self.usual

    def unknown(self, xs: Sequence[Point]) -> list[int]:
        """Which of the points aren't like those that were seen, by their indexes."""
        if len(xs) >= FEW and self._knows_all(xs):
            return []
        return list(compress(range(len(xs)), [not self.knows(x) for x in xs]))

    def _knows_all(self, xs: Sequence[Point]) -> bool:
        """Whether many points of the same features can be passed at a glance; False says nothing yet."""
        shape = xs[0].keys()
        if not (shape <= self.features.keys() and shape >= self.usual and len(set(map(tuple, xs))) == 1):
            return False
        for name, values in zip(shape, zip(*map(dict.values, xs), strict=True), strict=True):
            one, types = self.features[name], set(map(type, values))
            if types <= _NUMBERS:
                if not (one[LOW] <= min(values) and max(values) <= one[HIGH]):
                    return False
            elif (
                types != {str}
                or not one[KIND] & CATEGORY
                or (one[VALUES] is not None and not one[VALUES] >= set(values))
            ):
                return False
        return True

    # Stored

    def dumped(self) -> str:
        """As it is stored."""
        features = {
            name: [count, _stored(low), _stored(high), kind, None if values is None else sorted(values)]
            for name, (count, low, high, kind, values) in self.features.items()
        }
        return exact({"count": self.count, "features": features}).decode()

    @classmethod
    def loaded(cls, text: str, upto: int, *, ranged: bool) -> "Summary":
        """One of the observations from the first on, as it was stored."""
        data = loads(text)
        found = cls(ranged=ranged)
        found.upto, found.count = upto, data["count"]
        for name, (count, low, high, kind, values) in data["features"].items():
            if low is None:
                low, high = (-inf, inf) if kind & NUMBER else (inf, -inf)
            found.features[name] = [count, low, high, kind, None if values is None else set(values)]
        found._weigh(found.features)
        return found


def _columns(points: Sequence[Point]) -> tuple[dict[str, Sequence[Any]], bool]:
    """By feature the values of those points that have it, and whether all have all."""
    if len(set(map(tuple, points))) == 1:
        return dict(zip(points[0], zip(*map(dict.values, points), strict=True), strict=True)), True
    columns: dict[str, Any] = defaultdict(list)
    for x in points:
        for name, value in x.items():
            columns[name].append(value)
    return columns, False


def _stored(bound: float) -> float | None:
    return bound if isfinite(bound) else None
