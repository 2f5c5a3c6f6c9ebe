"""In which ways a point differs from those that a stream has seen, in words."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, NamedTuple

from server.streams.errors import Invalid
from server.streams.printable import encodable
from server.streams.summary import BOOLEAN, CATEGORY, COUNT, HIGH, KIND, KINDS, LOW, NUMBER, VALUES, Point, Summary
from server.streams.validation import shown

UNKNOWN, MISSING, OTHER_KIND, OUTSIDE = "unknown_feature", "missing_feature", "other_kind", "outside"
CODES = (UNKNOWN, MISSING, OTHER_KIND, OUTSIDE)
MORE, UNCHECKED = "more", "unchecked"

MOST_OF_A_CODE = 5
"""Warnings of one code in an answer: those of a long text don't hide the others."""

MOST_NAMED = 5
"""Names and values that one message lists."""

LONGEST_REFUSAL = 3_500
"""Characters of the faults that a strict answer lists."""

_WORDS = {NUMBER: "a number", BOOLEAN: "a boolean", CATEGORY: "a category"}


class Fault(NamedTuple):
    """One feature that differs in one way.

    Attributes
    ----------
    code
        One of :data:`CODES`; :data:`UNCHECKED` where the stream's observations aren't known, :data:`MORE` for faults that aren't listed.
    field
        The path of the feature in the request, of the first point that it concerns.
    message
        What is wrong, with which value.
    seen
        What the stream has seen instead, for those who may read it.
    points
        Indexes of the points that it concerns.
    """

    code: str
    field: str | None
    message: str
    seen: str = ""
    points: Sequence[int] = ()

    def text(self, *, may_read: bool) -> str:
        more = f"; {len(self.points) - 1:,} more of the points likewise" if len(self.points) > 1 else ""
        return f"{self.message}{f' ({self.seen})' if self.seen and may_read else ''}{more}"


def faults(summary: Summary, xs: Sequence[Point], indexes: Iterable[int], fields: Sequence[str]) -> list[Fault]:
    """What differs in the points at these indexes, each way of each feature once, by code.

    Parameters
    ----------
    fields
        What each point is called, such as ``xs[3]``.
    """
    found: dict[tuple[str, str], list[int]] = {}
    if summary.count:  # a stream that has seen nothing yet expects nothing
        for index in indexes:
            for key in _ways(summary, xs[index]):
                found.setdefault(key, []).append(index)
    in_order = sorted(found.items(), key=lambda one: CODES.index(one[0][0]))
    return [_fault(summary, *key, xs[points[0]], fields[points[0]], points) for key, points in in_order]


def unchecked(upto: int, head: int) -> Fault:
    """What is said of points while the server doesn't know what the stream has seen."""
    return Fault(
        UNCHECKED,
        None,
        f"the features were not checked: the server is still reading what the stream has seen ({upto:,} of {head:,} observations)",
    )


def shortened(found: Sequence[Fault]) -> list[Fault]:
    """As many as an answer lists, and how many there are besides."""
    kept = [one for code in CODES for one in [fault for fault in found if fault.code == code][:MOST_OF_A_CODE]]
    left = len(found) - len(kept)
    return [*kept, Fault(MORE, None, f"and {left:,} more")] if left else kept


def refusal(found: Sequence[Fault], *, may_read: bool) -> Invalid:
    """The error in place of warnings, which names every fault for which there is room."""
    texts, length = [], 0
    for fault in found:
        texts.append(fault.text(may_read=may_read))
        length += len(texts[-1])
        if length > LONGEST_REFUSAL:
            break
    left = len(found) - len(texts)
    if left:
        texts.append(f"and {left:,} more")
    message = f"the stream has seen no such point, and strict was asked for: {'; '.join(texts)}"
    return Invalid(message, field=found[0].field, code="unfamiliar")


def in_header(found: Iterable[Fault], *, may_read: bool) -> str:
    """The same as a header takes it: printable ASCII, of no great length."""
    text = "; ".join(fault.text(may_read=may_read) for fault in found)
    return "".join(one if " " <= one <= "~" else "?" for one in text[:1_000])


def _ways(summary: Summary, x: Point) -> Iterable[tuple[str, str]]:
    for name, value in x.items():
        one = summary.features.get(name)
        if one is None:
            yield UNKNOWN, name
        elif not KINDS[type(value)] & one[KIND]:
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


def _fault(summary: Summary, code: str, name: str, x: Point, point: str, points: list[int]) -> Fault:
    field = encodable(f"{point}.{name}", 300)
    value = f"{field} is {shown(x[name])}" if name in x else f"{field} is missing"
    if code == UNKNOWN:
        return Fault(code, field, f"{value}: no observation has such a feature", _names(summary), points)
    one = summary.features[name]
    if code == MISSING:
        have = "every observation has" if one[COUNT] == summary.count else "nearly every observation has"
        return Fault(code, field, f"{value}: {have} it", f"{one[COUNT]:,} of {summary.count:,}, {_seen(one)}", points)
    if code == OTHER_KIND:
        kinds = " or ".join(word for kind, word in _WORDS.items() if kind & one[KIND])
        return Fault(code, field, f"{value}: it has always been {kinds}", f"{_seen(one)}", points)
    return Fault(code, field, f"{value}: outside of what was seen", _seen(one), points)


def _names(summary: Summary) -> str:
    names = [*summary.usual, *(name for name in summary.features if name not in summary.usual)]
    names = [name for name in summary.features if name in summary.usual] or names
    return f"they have {_list([encodable(name, 40) for name in names], len(summary.features))}"


def _seen(one: list[Any]) -> str:
    """The values of a feature that were seen."""
    parts = []
    if one[KIND] & NUMBER:
        if not isfinite(one[LOW]):
            parts.append("numbers")
        else:
            parts.append(shown(one[LOW]) if one[LOW] == one[HIGH] else f"{shown(one[LOW])} to {shown(one[HIGH])}")
    if one[KIND] & BOOLEAN:
        parts.append("true, false")
    if one[KIND] & CATEGORY:
        values = one[VALUES]
        parts.append(
            "many strings" if values is None else _list([shown(value) for value in sorted(values)], len(values))
        )
    return f"seen: {', '.join(parts)}"


def _list(some: Sequence[Any], count: int) -> str:
    text = ", ".join(some[:MOST_NAMED])
    left = count - min(len(some), MOST_NAMED)
    return f"{text} and {left:,} more" if left > 0 else text
