"""What the observations of a stream have had so far: the schema that it is held to where it declares none.

It is a fold over the log like a model, but one whose parts can be put together: that of observations 1 to 10 and that of 11 to 20
give that of 1 to 20. A retracted observation stays in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import compress
from math import inf, isfinite
from operator import itemgetter, le
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

MOST_STRINGS = 5_000
"""Strings of all features together that are kept; a feature whose strings have no more room is text, too."""

MOST_SHAPES = 64
"""Sets of features that are remembered as known."""

MOST_NAMES = 20_000
"""Names in all of these together."""

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
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        """Emptied whenever a range, a kind or what is usual changes."""
        self._names = 0
        """In all shapes."""
        self._strings = 0
        """Of all features."""
        self._asked: set[int] = set()
        """Hashes of sets of features that were asked about: one that comes again is worth a shape, a text's words never do."""

    @property
    def remembered(self) -> int:
        """How many names the sets of features that are remembered as known have in all."""
        return self._names if self._shapes else 0

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
            same = _same_columns(points)
            columns = _columns(points) if same is None else same
            for name, values in columns.items():
                self._note(name, values)
            names, in_all = columns.keys(), same is not None
        if not (in_all and names == self.usual):
            self._weigh(names)

    def merge(self, later: "Summary") -> None:
        """Take in what was made of the observations that follow."""
        self.upto = later.upto
        self.count += later.count
        for name, (count, low, high, kind, values) in later.features.items():
            one = self._feature(name)
            one[COUNT] += count
            self._widen(one, low, high)
            self._note_kind(one, kind)
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
            if not one[KIND] & NUMBER:
                self._note_kind(one, NUMBER)
            if not one[LOW] <= value <= one[HIGH]:
                low, high = (value, value) if self.ranged else (-inf, inf)
                self._widen(one, low, high)

    def _widen(self, one: list[Any], low: float, high: float) -> None:
        if low < one[LOW] or high > one[HIGH]:
            one[LOW], one[HIGH] = min(one[LOW], low), max(one[HIGH], high)
            self._shapes.clear()

    def _note(self, name: str, values: Sequence[Any]) -> None:
        one = self._feature(name)
        one[COUNT] += len(values)
        types = set(map(type, values))
        numbers = values
        if not types <= _NUMBERS:
            numbers = [value for value in values if type(value) in _NUMBERS]
            if str in types:
                self._note_kind(one, CATEGORY)
                self._note_strings(one, {value for value in values if type(value) is str})
            if bool in types:
                self._note_kind(one, BOOLEAN)
        if numbers:
            self._note_kind(one, NUMBER)
            low, high = (min(numbers), max(numbers)) if self.ranged else (-inf, inf)
            self._widen(one, low, high)

    def _note_kind(self, one: list[Any], kind: int) -> None:
        if one[KIND] | kind != one[KIND]:
            one[KIND] |= kind
            self._shapes.clear()

    def _note_strings(self, one: list[Any], values: set[str] | None) -> None:
        if one[VALUES] is None:
            return
        together = one[VALUES] if values is None else one[VALUES] | values
        new = len(together) - len(one[VALUES])
        is_text = values is None or len(together) > MOST_VALUES or any(len(value) > LONGEST_VALUE for value in values)
        if is_text or (new and self._strings + new > MOST_STRINGS):
            self._strings -= len(one[VALUES])
            one[VALUES] = None
            self._shapes.clear()
        else:
            self._strings += new
            one[VALUES] = together

    def _weigh(self, names: Iterable[str]) -> None:
        """Find out which features are usual, after some came again: of the others none can have become so."""
        features, least = self.features, USUAL * self.count
        usual = {name for name in self.usual.union(names) if features[name][COUNT] >= least}
        if usual != self.usual:
            self.usual = usual
            self._shapes.clear()

    # Held against points

    def knows(self, x: Point) -> bool:
        """Whether the point is like those that were seen, in all that :mod:`server.streams.unfamiliar` tells."""
        names = tuple(x)
        shape = self._shapes.get(names)
        if shape is None:
            if hash(names) not in self._asked:
                if len(self._asked) >= MOST_SHAPES:
                    self._asked.clear()
                self._asked.add(hash(names))
                return self._is_like(x)
            if not (self.features.keys() >= x.keys() >= self.usual):
                return False
            if len(names) > MOST_NAMES // 2:
                return self._is_like(x)
            if not self._shapes:
                self._names = 0
            self._names += len(names)
            if len(self._shapes) >= MOST_SHAPES or self._names > MOST_NAMES:
                self._shapes.clear()
                self._names = len(names)
            shape = self._shapes[names] = _Shape({name: self.features[name] for name in names})
        return shape.fits(x)

    def _is_like(self, x: Point) -> bool:
        features = self.features
        for name, value in x.items():
            one = features.get(name)
            if one is None:
                return False
            kind = type(value)
            if kind is int or kind is float:
                if not one[LOW] <= value <= one[HIGH]:
                    return False
            elif not _is_like(one, value):
                return False
        return x.keys() >= self.usual

    def unknown(self, xs: Sequence[Point]) -> list[int]:
        """Which of the points aren't like those that were seen, by their indexes."""
        if len(xs) >= FEW and self.knows(xs[0]) and self._fit_together(xs):
            return []
        return list(compress(range(len(xs)), [not self.knows(x) for x in xs]))

    def passes(self, xs: Sequence[Any]) -> bool:
        """Whether points, unchecked as they come from a request, are like those that were seen and so need no look by the
        :class:`server.streams.validation.Checker`: it has passed one of the same features, and each value is one between two that it
        has passed. False says nothing yet.
        """
        first = xs[0]
        if type(first) is not dict:
            return False
        shape = self._shapes.get(tuple(first))
        if shape is None or not shape.is_bounded:
            return False
        return shape.fits(first) if len(xs) == 1 else set(map(type, xs)) == {dict} and self._fit_together(xs)

    def _fit_together(self, xs: Sequence[Point]) -> bool:
        """Whether many points have the same features, as one that is known, and all fit; False says nothing yet."""
        names = tuple(xs[0])
        columns = _same_columns(xs) if names in self._shapes else None
        if columns is None:
            return False
        for name, values in columns.items():
            one, types = self.features[name], set(map(type, values))
            if types <= _NUMBERS:
                # The sum tells of one that is no number at all, which neither bound does.
                if not (one[LOW] <= min(values) and max(values) <= one[HIGH] and isfinite(sum(values))):
                    return False
            elif not all(_is_like(one, value) for value in (set(values) if types == {str} else values)):
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
            found._strings += len(values or ())
        found._weigh(found.features)
        return found


class _Shape:
    """What points of the same features are held to: the numbers among them together, which takes a third of the time.

    Parameters
    ----------
    features
        By name what is known of each.
    """

    __slots__ = ("_getter", "_highs", "_lows", "_others", "is_bounded")

    def __init__(self, features: dict[str, list[Any]]) -> None:
        numbers = {name: one for name, one in features.items() if one[KIND] == NUMBER}
        if len(numbers) < 2:
            numbers = {}  # an itemgetter of one gives no tuple
        self._getter: Any = itemgetter(*numbers) if numbers else None
        if len(numbers) == len(features):
            self._getter = dict.values
        self._lows = [one[LOW] for one in numbers.values()]
        self._highs = [one[HIGH] for one in numbers.values()]
        self._others = [(name, one) for name, one in features.items() if name not in numbers]
        self.is_bounded = all(
            one[VALUES] is not None and (isfinite(one[HIGH]) or not one[KIND] & NUMBER) for one in features.values()
        )
        """Whether what fits can't be anything that the limits forbid."""

    def fits(self, x: Point) -> bool:
        if self._getter is not None:
            numbers = self._getter(x)
            if not (
                _NUMBERS.issuperset(map(type, numbers))
                and all(map(le, self._lows, numbers))
                and all(map(le, numbers, self._highs))
            ):
                return False
        for name, one in self._others:  # noqa: SIM110  # a generator would cost as much as it looks at
            if not _is_like(one, x[name]):
                return False
        return True


def _is_like(one: list[Any], value: Any) -> bool:
    """Whether a value is of a kind, and in the range, that its feature was seen in."""
    kind = type(value)
    if kind is float or kind is int:
        return bool(one[LOW] <= value <= one[HIGH])
    if kind is bool:
        return bool(one[KIND] & BOOLEAN)
    return kind is str and bool(one[KIND] & CATEGORY) and (one[VALUES] is None or value in one[VALUES])


def _same_columns(points: Sequence[Point]) -> dict[str, Sequence[Any]] | None:
    """By feature the values of points that have the same features; None where they don't."""
    names = list(points[0])
    if set(map(len, points)) != {len(names)}:
        return None
    try:
        if len(names) == 1:
            return {names[0]: [x[names[0]] for x in points]}
        return dict(zip(names, zip(*map(itemgetter(*names), points), strict=True), strict=True))
    except KeyError:
        return None


def _columns(points: Sequence[Point]) -> dict[str, Sequence[Any]]:
    """By feature the values of those points that have it."""
    columns: dict[str, Any] = defaultdict(list)
    for x in points:
        for name, value in x.items():
            columns[name].append(value)
    return columns


def _stored(bound: float) -> float | None:
    return bound if isfinite(bound) else None
