"""Types of values that come from a command line.

A command line has no types: ``commit=45e7`` may be a number or a name. So the client also sends the text (``written``). The
kind that the stream declares for the feature decides, or else the kind in its earliest and latest observations.
"""

import math
import re
import threading
from collections import Counter, defaultdict
from time import monotonic
from typing import Any

from server.core.errors import Invalid
from server.core.validation import Checker, check_text, format_value
from server.streams import log

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
MOST_DIGITS = 4000
"""Python refuses to parse integers with many more digits."""

LEAST, GREATEST = -(2**63), 2**64 - 1
"""Range of integers that can be stored."""

ALMOST_ALL = 0.75
"""Share of the sampled batches from which on a feature is text although some have a number: the first text of a stream may
look like one. A few texts among numbers are mistakes, and must not turn the numbers after them into texts."""

LONGEST = 60.0
"""Seconds after which the observations are read again; for a feature that none of them had, :data:`SHORTEST`."""
SHORTEST = 1.0

KINDS: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "category"}
_Y = ""
"""Stands for the target among the names of features, which are never empty."""


class ObservedKinds:
    """Kinds of the features in a stream's earliest and latest observations, read when first needed."""

    def __init__(self, stream_id: int) -> None:
        self._stream_id = stream_id
        self._kinds: dict[str, str] = {}
        self._looked = -math.inf
        self._looking = threading.Lock()

    @property
    def names(self) -> int:
        """Number of cached feature names."""
        return len(self._kinds)

    def kind(self, name: str) -> str | None:
        """Return ``number``, ``category`` or ``boolean``; None if no sampled observation has the feature, or kinds differ."""
        age = monotonic() - self._looked
        wanted = age > LONGEST or (name not in self._kinds and age > SHORTEST)
        if wanted and self._looking.acquire(blocking=False):  # other threads use the old kinds meanwhile
            try:
                self._kinds = self._look()
            finally:
                self._looked = monotonic()
                self._looking.release()
        return self._kinds.get(name) or None

    def kind_of_target(self) -> str | None:
        return self.kind(_Y)

    def _look(self) -> dict[str, str]:
        batches: dict[str, Counter[str]] = defaultdict(Counter)
        for xs, ys in log.sample(self._stream_id):
            found: dict[str, set[str]] = defaultdict(set)
            for x, y in zip(xs, ys, strict=True):
                for name, value in {_Y: y, **(x or {})}.items():
                    found[name].add(KINDS.get(type(value), ""))
            for name, kinds in found.items():
                batches[name].update(kinds)
        return {name: _common(counts) for name, counts in batches.items()}


def _common(batches: Counter[str]) -> str:
    """Return the kind of a feature, from the number of batches that have it as each kind; "" if it isn't clear."""
    kind, count = batches.most_common(1)[0]
    is_clear = len(batches) == 1 or (kind == "category" and count >= ALMOST_ALL * batches.total())
    return kind if is_clear else ""


def apply_texts(
    point: dict[str, Any], written: Any, check: Checker, seen: ObservedKinds | None, prefix: str = ""
) -> None:
    """Convert the values of a point to the kinds that they have on the stream.

    Parameters
    ----------
    point
        The point, with ``x``, ``y`` or both, which are changed.
    written
        The texts from the request: by feature under ``x``, and of the target under ``y``.
    seen
        Kinds in the stream's observations; None if there are none yet.
    prefix
        Path of the point, for errors.

    Raises
    ------
    Invalid
        If ``written`` is malformed.
    """
    check_parts(written, ("x", "y") if "x" in point else ("y",), f"{prefix}written")
    if "x" in written:
        apply_feature_texts(point["x"], written["x"], check, seen, f"{prefix}written.x")
    if "y" in written:
        text = check_text(written["y"], f"{prefix}written.y", check.longest_string)
        kind = "number" if check.target_kind == "number" else None
        if check.target_kind in ("category", "any") and seen is not None:
            kind = seen.kind_of_target()
        point["y"] = _decided(point["y"], text, kind)


def apply_feature_texts(x: Any, texts: Any, check: Checker, seen: ObservedKinds | None, field: str) -> None:
    """Convert the features of one point. Texts of other names are ignored."""
    if type(texts) is not dict:
        raise Invalid(f"{field} is {format_value(texts)}: expected an object of features and texts", field=field)
    for name, text in texts.items():
        check_text(text, f"{field}.{name}", check.longest_string)
        if type(x) is not dict or name not in x:
            continue
        if check.features is not None:
            kind = check.features.get(name)
        else:
            kind = None if seen is None else seen.kind(name)
        x[name] = _decided(x[name], text, kind)


def check_parts(written: Any, parts: tuple[str, ...], field: str = "written") -> None:
    """Check that the value is an object with only these parts.

    Raises
    ------
    Invalid
        If it isn't.
    """
    if type(written) is not dict or not set(written).issubset(parts):
        raise Invalid(f"{field} is {format_value(written)}: expected an object with {' and '.join(parts)}", field=field)


def _decided(value: Any, text: str, kind: str | None) -> Any:
    if kind == "category":
        return text
    if kind == "number" and type(value) is str and len(text) < MOST_DIGITS and NUMBER.fullmatch(text):
        number = int(text) if WHOLE.fullmatch(text) else float(text)
        if type(number) is int and not LEAST <= number <= GREATEST:
            return value
        return number if math.isfinite(number) else value
    return value
