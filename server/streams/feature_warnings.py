"""Warnings for points that differ from the earlier observations of their stream."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

from server.core.errors import Invalid
from server.core.printable import encodable
from server.core.validation import format_value
from server.streams.feature_summary import (
    BOOLEAN,
    CATEGORY,
    COUNT,
    EXPECTED,
    HIGH,
    KIND,
    KINDS,
    LOW,
    NUMBER,
    VALUES,
    Point,
    Summary,
    kind_counts,
)

UNKNOWN, MISSING, OTHER_KIND, OUTSIDE = "unknown_feature", "missing_feature", "other_kind", "outside"
CODES = (UNKNOWN, MISSING, OTHER_KIND, OUTSIDE)
MORE, UNCHECKED = "more", "unchecked"

MOST_OF_A_CODE = 5
"""Largest number of warnings of one code in an answer, so that one code doesn't hide the others."""

LONGEST_NAME = 200
"""Number of characters of a feature's name that are shown."""

MOST_LISTED = 50
"""Largest number of faults of one code that are described. The others are counted. A refusal lists fewer."""

MOST_LOOKED_AT = 200_000
"""Largest number of features of all points that are compared. Differences of further points are only counted."""

MOST_NAMED = 5
"""Largest number of names or values that one message lists."""

LONGEST_REFUSAL = 3_500
"""Number of characters after which a refusal lists no more faults."""

_WORDS = {NUMBER: "a number", BOOLEAN: "a boolean", CATEGORY: "a category"}


class Fault(NamedTuple):
    """One feature that differs in one way.

    Attributes
    ----------
    code
        One of :data:`CODES`; :data:`UNCHECKED` if the summary isn't available yet; :data:`MORE` for faults that aren't listed.
    statement
        What is wrong.
    seen
        Earlier values, for callers who may read the stream.
    field, value
        Path of the feature in the first affected point of the request, and its value there.
    name
        Name of the feature.
    points
        Indexes of the affected points.
    ways
        Number of differences that it stands for.
    """

    code: str
    statement: str
    seen: str = ""
    field: str | None = None
    value: str = ""
    name: str = ""
    points: Sequence[int] = ()
    ways: int = 1

    def of_point(self, *, may_read: bool) -> str:
        """Return the message for the first affected point."""
        return f"{self.field}{self.value}: {self._said(may_read)}" if self.field is not None else self.statement

    def of_points(self, *, may_read: bool) -> str:
        """Return the message for all affected points."""
        missing = " is missing" if self.code == MISSING else ""
        return f"{self.name}{missing}: {self._said(may_read)}" if self.field is not None else self.statement

    def _said(self, may_read: bool) -> str:
        return f"{self.statement} ({self.seen})" if self.seen and may_read else self.statement


def faults(summary: Summary, xs: Sequence[Point], indexes: Iterable[int], fields: Sequence[str]) -> list[Fault]:
    """Return the differences of the points at these indexes: one fault per feature and code, ordered by code.

    Parameters
    ----------
    fields
        Path of each point, such as ``xs[3]``.
    """
    found: dict[tuple[str, str], list[int]] = {}
    left: list[int] = []
    looked = 0
    if summary.count:  # a stream without observations has no expectations
        for index in indexes:
            looked += len(xs[index]) + len(summary.features)
            if looked > MOST_LOOKED_AT and found:
                left.append(index)
                continue
            for key in _ways(summary, xs[index]):
                found.setdefault(key, []).append(index)
    named, told, others = cache(lambda: _names(summary)), [], 0
    for code in CODES:
        keys = [key for key in found if key[0] == code]
        others += max(0, len(keys) - MOST_LISTED)
        for key in keys[:MOST_LISTED]:
            points = found[key]
            told.append(_fault(summary, *key, xs[points[0]], fields[points[0]], points, named))
        left += [index for key in keys[MOST_LISTED:] for index in found[key]]
    if left:
        points = sorted(set(left))
        told.append(Fault(MORE, f"and {others or len(points):,} more", points=points, ways=others or len(points)))
    return told


def unchecked(upto: int, head: int) -> Fault:
    """Return the fault for points that can't be compared yet, because the summary is still being built."""
    return Fault(
        UNCHECKED,
        f"the features were not checked: the server is still reading the stream ({upto:,} of {head:,} observations)",
    )


def shortened(found: Sequence[Fault]) -> list[Fault]:
    """Return the faults that an answer lists, with one fault for the number of the others."""
    kept = [
        one for code in (*CODES, UNCHECKED) for one in [fault for fault in found if fault.code == code][:MOST_OF_A_CODE]
    ]
    if len(kept) == len(found):
        return kept
    left = [fault for fault in found if fault not in kept]
    points = sorted({index for fault in left for index in fault.points})
    ways = sum(fault.ways for fault in left)
    return [*kept, Fault(MORE, f"and {ways:,} more", points=points, ways=ways)]


def refusal(found: Sequence[Fault], *, may_read: bool) -> Invalid:
    """Return the error that a strict request gets in place of warnings. It lists as many faults as fit."""
    texts, length = [], 0
    listed = [fault for fault in found if fault.code != MORE]
    for fault in listed:
        others = len(fault.points) - 1
        likewise = f"; the same for {others:,} more points" if others > 0 else ""
        texts.append(fault.of_point(may_read=may_read) + likewise)
        length += len(texts[-1])
        if length > LONGEST_REFUSAL:
            break
    left = sum(fault.ways for fault in found) - len(texts)
    if left:
        texts.append(f"and {left:,} more")
    message = f"the point differs from all observations of the stream, and strict is set: {'; '.join(texts)}"
    return Invalid(message, field=found[0].field, code="unfamiliar")


def in_header(found: Iterable[Fault], *, may_read: bool) -> str:
    """Return the messages for an HTTP header: at most 1,000 characters of printable ASCII."""
    text = "; ".join(fault.of_point(may_read=may_read) for fault in found)
    return "".join(one if " " <= one <= "~" else "?" for one in text[:1_000])


def _ways(summary: Summary, x: Point) -> Iterable[tuple[str, str]]:
    for name, value in x.items():
        one = summary.features.get(name)
        if one is None:
            yield UNKNOWN, name
        elif not KINDS[type(value)] & one[EXPECTED]:
            yield OTHER_KIND, name
        elif type(value) is str:
            if one[VALUES] is not None and value not in one[VALUES]:
                yield OUTSIDE, name
        elif type(value) is not bool and not one[LOW] <= value <= one[HIGH]:
            yield OUTSIDE, name
    if not x.keys() >= summary.usual:
        for name in summary.features:
            if name in summary.usual and name not in x:
                yield MISSING, name


def _fault(
    summary: Summary, code: str, name: str, x: Point, point: str, points: list[int], named: Callable[[], str]
) -> Fault:
    one = summary.features.get(name)
    if one is None:
        statement, seen = "no observation has such a feature", named()
    elif code == MISSING:
        statement = f"{'every' if one[COUNT] == summary.count else 'nearly every'} observation has it"
        seen = f"{one[COUNT]:,} of {summary.count:,}, {_seen(one)}"
    elif code == OTHER_KIND:
        kinds = " or ".join(word for kind, word in _WORDS.items() if kind & one[EXPECTED])
        statement, seen = _been(one, kinds), _seen(one)
    else:
        statement, seen = "outside of what was seen", _seen(one)
    value = f" is {format_value(x[name])}" if name in x else " is missing"
    shown_name = encodable(name, LONGEST_NAME)
    return Fault(code, statement, seen, f"{point}.{shown_name}", value, shown_name, points)


def _been(one: list[Any], kinds: str) -> str:
    if one[EXPECTED] == one[KIND]:
        return f"it has always been {kinds}"
    count = sum(count for kind, count in kind_counts(one).items() if kind & one[EXPECTED])
    return f"it has been {kinds} in {count:,} of {one[COUNT]:,} observations"


def _names(summary: Summary) -> str:
    usual = (name for name in summary.features if name in summary.usual)
    names = list(islice(usual if summary.usual else iter(summary.features), MOST_NAMED))
    return f"they have {_list([encodable(name, 40) for name in names], len(summary.features))}"


def _seen(one: list[Any]) -> str:
    """Return the earlier values of a feature."""
    parts = []
    if one[KIND] & NUMBER:
        if not isfinite(one[LOW]):
            parts.append("numbers")
        else:
            parts.append(
                format_value(one[LOW])
                if one[LOW] == one[HIGH]
                else f"{format_value(one[LOW])} to {format_value(one[HIGH])}"
            )
    if one[KIND] & BOOLEAN:
        parts.append("true, false")
    if one[KIND] & CATEGORY:
        values = one[VALUES]
        parts.append(
            "many strings" if values is None else _list([format_value(value) for value in sorted(values)], len(values))
        )
    return f"seen: {', '.join(parts)}"


def _list(some: Sequence[Any], count: int) -> str:
    text = ", ".join(some[:MOST_NAMED])
    left = count - min(len(some), MOST_NAMED)
    return f"{text} and {left:,} more" if left > 0 else text
