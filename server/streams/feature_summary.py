"""Summary of the features of a stream's observations: an inferred schema, where the stream declares none.

It is a fold over the log, like a model. Unlike models, summaries can be merged: those of observations 1 to 10 and 11 to 20
give that of 1 to 20. Retracted observations stay in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import compress
from math import inf, isfinite
from operator import itemgetter, le
from typing import Any

from server.core.json_codec import dumps_exact, loads

NUMBER, BOOLEAN, CATEGORY = 1, 2, 4
KINDS = {int: NUMBER, float: NUMBER, bool: BOOLEAN, str: CATEGORY}

COUNT, LOW, HIGH, KIND, VALUES, BOOLEANS, STRINGS, EXPECTED = range(8)
"""Indexes of a feature's summary: number of observations that have it, smallest and largest number, bits of its kinds, its
strings (None: more than :data:`MOST_VALUES`), number of its booleans, number of its strings, and bits of the kinds that a value
is expected to have. The summary is a list, for speed: every learned value updates one."""

MOST_VALUES = 20
"""Largest number of different strings of one feature. If there are more, any string is accepted."""

LONGEST_VALUE = 100
"""Largest length of such a string. A feature with a longer one is text: any string is accepted."""

USUAL = 0.95
"""Share of the observations that must have a feature for a point without it to get a warning."""

RARE = 1 - USUAL
"""Share of a feature's values below which a kind is not expected: a single mistake doesn't make its kind an expected one."""

FEW = 8
"""Number of points below which checking by column is slower than checking by point."""

MOST_STRINGS = 5_000
"""Largest number of strings of all features. A feature whose strings exceed it is text, too."""

MOST_SHAPES = 64
"""Largest number of cached feature sets."""

MOST_NAMES = 20_000
"""Largest number of names in all cached feature sets."""

_NUMBERS = {int, float}

Point = dict[str, Any]


class Summary:
    """Summary of the observations ``after + 1 … upto``.

    Parameters
    ----------
    after
        Number of the observation before the first.
    ranged
        Whether to keep ranges of numbers. Without ranges, any number is accepted.
    """

    def __init__(self, after: int = 0, *, ranged: bool = True) -> None:
        self.after = self.upto = after
        self.ranged = ranged
        self.count = 0
        """Number of observations in it, without those that are no longer kept."""
        self.features: dict[str, list[Any]] = {}
        self.usual: set[str] = set()
        """Features that (nearly) every observation has."""
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        """Cached feature sets. Cleared whenever a range, a kind or the set of usual features changes."""
        self._names = 0
        """Number of names in all shapes."""
        self._strings = 0
        """Number of strings of all features."""
        self._asked: set[int] = set()
        """Hashes of feature sets that were seen once. A set is cached when it comes again, which the words of texts never do."""

    @property
    def remembered(self) -> int:
        """Number of names in all cached feature sets."""
        return self._names if self._shapes else 0

    def add(self, xs: Sequence[Point | None], upto: int) -> None:
        """Add the observations that end with number ``upto``. None stands for one that isn't kept."""
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
        """Add the summary of the observations that follow."""
        self.upto = later.upto
        self.count += later.count
        for name, (count, low, high, kind, values, booleans, strings, _) in later.features.items():
            one = self._feature(name)
            one[COUNT] += count
            one[BOOLEANS] += booleans
            one[STRINGS] += strings
            self._widen(one, low, high)
            one[KIND] |= kind
            self._expect(one)
            self._note_strings(one, values)
        self._weigh(later.features)

    def _feature(self, name: str) -> list[Any]:
        one = self.features.get(name)
        if one is None:
            one = self.features[name] = [0, inf, -inf, 0, set(), 0, 0, 0]
        return one

    def _note_one(self, x: Point) -> None:
        # Called for every point that is learned alone, so it is optimized.
        features = self.features
        for name, value in x.items():
            one = features.get(name)
            kind = type(value)
            if one is None or kind is str or kind is bool:
                self._note(name, (value,))
                continue
            one[COUNT] += 1
            if one[KIND] != NUMBER:
                one[KIND] |= NUMBER
                self._expect(one)
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
                strings = [value for value in values if type(value) is str]
                one[KIND] |= CATEGORY
                one[STRINGS] += len(strings)
                self._note_strings(one, set(strings))
            if bool in types:
                one[KIND] |= BOOLEAN
                one[BOOLEANS] += sum(type(value) is bool for value in values)
        if numbers:
            one[KIND] |= NUMBER
            low, high = (min(numbers), max(numbers)) if self.ranged else (-inf, inf)
            self._widen(one, low, high)
        self._expect(one)

    def _expect(self, one: list[Any]) -> None:
        """Update the kinds that are expected of a feature: all that it had but for rare ones, and those it had only once."""
        expected = one[KIND]
        if expected & (expected - 1):
            counts = kind_counts(one)
            least = max(2, RARE * one[COUNT])
            common = sum(kind for kind, count in counts.items() if count >= least)
            expected = common or expected
        if expected != one[EXPECTED]:
            one[EXPECTED] = expected
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
        """Update the set of usual features. Only features in ``names`` can become usual."""
        features, least = self.features, USUAL * self.count
        usual = {name for name in self.usual.union(names) if features[name][COUNT] >= least}
        if usual != self.usual:
            self.usual = usual
            self._shapes.clear()

    # Comparison with points

    def matches(self, x: Point) -> bool:
        """Whether :mod:`server.streams.feature_warnings` has no warning for the point."""
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
            if one[EXPECTED] == NUMBER and (kind is int or kind is float):
                if not one[LOW] <= value <= one[HIGH]:
                    return False
            elif not _is_like(one, value):
                return False
        return x.keys() >= self.usual

    def unfamiliar(self, xs: Sequence[Point]) -> list[int]:
        """Return the indexes of the points that don't match."""
        if len(xs) >= FEW and self.matches(xs[0]) and self._fit_together(xs):
            return []
        return list(compress(range(len(xs)), [not self.matches(x) for x in xs]))

    def need_no_checks(self, xs: Sequence[Any]) -> bool:
        """Whether unchecked points of a request match, so that :class:`server.core.validation.Checker` can be skipped.

        It can: the checker has accepted a point with the same features, and each value lies between two accepted values.
        False doesn't mean that a point is wrong.
        """
        first = xs[0]
        if type(first) is not dict:
            return False
        shape = self._shapes.get(tuple(first))
        if shape is None or not shape.is_bounded:
            return False
        return shape.fits(first) if len(xs) == 1 else set(map(type, xs)) == {dict} and self._fit_together(xs)

    def _fit_together(self, xs: Sequence[Point]) -> bool:
        """Whether many points have the same cached feature set and all match. False doesn't mean that a point is wrong."""
        names = tuple(xs[0])
        columns = _same_columns(xs) if names in self._shapes else None
        if columns is None:
            return False
        for name, values in columns.items():
            one, types = self.features[name], set(map(type, values))
            if types <= _NUMBERS and one[EXPECTED] & NUMBER:
                # The sum detects NaN, which min and max don't.
                if not (one[LOW] <= min(values) and max(values) <= one[HIGH] and isfinite(sum(values))):
                    return False
            elif not all(_is_like(one, value) for value in (set(values) if types == {str} else values)):
                return False
        return True

    def table(self) -> list[dict[str, Any]]:
        """Return what is known of each feature.

        Returns
        -------
        list
            ``name``; ``kinds``, such as ``number``; ``missing``: share of observations without it; ``low``, ``high``: range of
            its numbers (None where unknown); ``values``: its texts, or None if there are too many.
        """
        names = {NUMBER: "number", BOOLEAN: "boolean", CATEGORY: "category"}
        return [
            {
                "name": name,
                "kinds": " or ".join(said for bit, said in names.items() if kind & bit),
                "missing": 1 - count / self.count if self.count else 0.0,
                "low": _stored(low),
                "high": _stored(high),
                "values": None if values is None else sorted(values),
            }
            for name, (count, low, high, kind, values, *_) in self.features.items()
        ]

    # Storage

    def to_json(self) -> str:
        """Return the summary as JSON."""
        features = {
            name: [
                count,
                _stored(low),
                _stored(high),
                kind,
                None if values is None else sorted(values),
                booleans,
                strings,
            ]
            for name, (count, low, high, kind, values, booleans, strings, _) in self.features.items()
        }
        return dumps_exact({"count": self.count, "features": features}).decode()

    @classmethod
    def from_json(cls, text: str, upto: int, *, ranged: bool) -> "Summary":
        """Return the summary of observations 1 to ``upto`` from JSON.

        Raises
        ------
        ValueError
            If it doesn't say how many values of a feature have which kind. Older versions didn't count them.
        """
        data = loads(text)
        found = cls(ranged=ranged)
        found.upto, found.count = upto, data["count"]
        for name, (count, low, high, kind, values, *counts) in data["features"].items():
            if low is None:
                low, high = (-inf, inf) if kind & NUMBER else (inf, -inf)
            if not counts:
                if kind & (kind - 1):
                    raise ValueError("values of several kinds are not counted")
                counts = [count if kind == BOOLEAN else 0, count if kind == CATEGORY else 0]
            booleans, strings = counts
            one = [count, low, high, kind, None if values is None else set(values), booleans, strings, 0]
            found.features[name] = one
            found._expect(one)
            found._strings += len(values or ())
        found._weigh(found.features)
        return found


class _Shape:
    """The expected values of points with the same features. It compares all numbers at once, in a third of the time.

    Parameters
    ----------
    features
        Summary of each feature, by name.
    """

    __slots__ = ("_getter", "_highs", "_lows", "_others", "is_bounded")

    def __init__(self, features: dict[str, list[Any]]) -> None:
        numbers = {name: one for name, one in features.items() if one[EXPECTED] == NUMBER}
        if len(numbers) < 2:
            numbers = {}  # an itemgetter of one name returns no tuple
        self._getter: Any = itemgetter(*numbers) if numbers else None
        if len(numbers) == len(features):
            self._getter = dict.values
        self._lows = [one[LOW] for one in numbers.values()]
        self._highs = [one[HIGH] for one in numbers.values()]
        self._others = [(name, one) for name, one in features.items() if name not in numbers]
        self.is_bounded = all(
            one[VALUES] is not None and (isfinite(one[HIGH]) or not one[KIND] & NUMBER) for one in features.values()
        )
        """Whether every value that fits is within the limits of the server."""

    def fits(self, x: Point) -> bool:
        if self._getter is not None:
            numbers = self._getter(x)
            if not (
                _NUMBERS.issuperset(map(type, numbers))
                and all(map(le, self._lows, numbers))
                and all(map(le, numbers, self._highs))
            ):
                return False
        for name, one in self._others:  # noqa: SIM110  # a generator takes as long as the check itself
            if not _is_like(one, x[name]):
                return False
        return True


def _is_like(one: list[Any], value: Any) -> bool:
    """Whether a value has a kind that is expected of its feature, and a range that the feature had before."""
    kind = type(value)
    expected = one[EXPECTED]
    if kind is float or kind is int:
        return bool(expected & NUMBER and one[LOW] <= value <= one[HIGH])
    if kind is bool:
        return bool(expected & BOOLEAN)
    return kind is str and bool(expected & CATEGORY) and (one[VALUES] is None or value in one[VALUES])


def kind_counts(one: list[Any]) -> dict[int, int]:
    """Return the number of a feature's values of each kind."""
    return {
        NUMBER: one[COUNT] - one[BOOLEANS] - one[STRINGS],
        BOOLEAN: one[BOOLEANS],
        CATEGORY: one[STRINGS],
    }


def _same_columns(points: Sequence[Point]) -> dict[str, Sequence[Any]] | None:
    """Return the values by feature of points that all have the same features; None if they don't."""
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
    """Return the values by feature, of the points that have it."""
    columns: dict[str, Any] = defaultdict(list)
    for x in points:
        for name, value in x.items():
            columns[name].append(value)
    return columns


def _stored(bound: float) -> float | None:
    return bound if isfinite(bound) else None
