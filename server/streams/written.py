"""Values that a caller read from a text, and what they are where they are posted to.

A command line has no types: ``commit=45e7`` may be a number or a name. So it sends the text along (``written``), and what the
stream declares under that name decides, or else what its latest observations hold there.
"""

import math
import re
import threading
from time import monotonic
from typing import Any

from server.streams import log
from server.streams.errors import Invalid
from server.streams.validation import Checker, check_text, shown

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
MOST_DIGITS = 4000
"""Python reads no whole number of many more."""

LEAST, GREATEST = -(2**63), 2**64 - 1
"""Whole numbers that can be stored."""

LONGEST = 60.0
"""Seconds after which the latest observations are looked at again, and for a feature that none of them had:"""
SHORTEST = 1.0

KINDS: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "category"}
_Y = ""
"""Stands for the target among the names of features, none of which is empty."""


class Seen:
    """Of which kind a stream's latest observations are, found out when it is first asked."""

    def __init__(self, stream_id: int) -> None:
        self._stream_id = stream_id
        self._kinds: dict[str, str] = {}
        self._looked = -math.inf
        self._looking = threading.Lock()

    @property
    def names(self) -> int:
        """How many names of features are kept."""
        return len(self._kinds)

    def kind(self, name: str) -> str | None:
        """``number``, ``category`` or ``boolean``; None where no late observation has the feature, or not all are of one kind."""
        age = monotonic() - self._looked
        wanted = age > LONGEST or (name not in self._kinds and age > SHORTEST)
        if wanted and self._looking.acquire(blocking=False):  # meanwhile others take what was known
            try:
                self._kinds = self._look()
            finally:
                self._looked = monotonic()
                self._looking.release()
        return self._kinds.get(name) or None

    def kind_of_target(self) -> str | None:
        return self.kind(_Y)

    def _look(self) -> dict[str, str]:
        kinds: dict[str, str] = {}
        for xs, ys in log.latest(self._stream_id):
            for x, y in zip(xs, ys, strict=True):
                for name, value in {_Y: y, **(x or {})}.items():
                    kind = KINDS.get(type(value), "")
                    if kinds.setdefault(name, kind) != kind:
                        kinds[name] = ""
        return kinds


def take(point: dict[str, Any], written: Any, check: Checker, seen: Seen | None, prefix: str = "") -> None:
    """Have a point hold what its texts stand for on the stream.

    Parameters
    ----------
    point
        With ``x``, ``y`` or both, which are changed.
    written
        As it came: the texts, by feature under ``x``, and that of the target under ``y``.
    seen
        None where there is nothing to see yet.
    prefix
        What an error calls the point.

    Raises
    ------
    Invalid
        If these are no texts.
    """
    check_parts(written, ("x", "y") if "x" in point else ("y",), f"{prefix}written")
    if "x" in written:
        take_features(point["x"], written["x"], check, seen, f"{prefix}written.x")
    if "y" in written:
        text = check_text(written["y"], f"{prefix}written.y", check.longest_string)
        kind = "number" if check.target_kind == "number" else None
        if check.target_kind in ("category", "any") and seen is not None:
            kind = seen.kind_of_target()
        point["y"] = _decided(point["y"], text, kind)


def take_features(x: Any, texts: Any, check: Checker, seen: Seen | None, field: str) -> None:
    """The same for the features of one point; what isn't one of them is passed over."""
    if type(texts) is not dict:
        raise Invalid(f"{field} is {shown(texts)}: expected an object of features and texts", field=field)
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
    """Refuse what isn't an object with these parts alone."""
    if type(written) is not dict or not set(written).issubset(parts):
        raise Invalid(f"{field} is {shown(written)}: expected an object with {' and '.join(parts)}", field=field)


def _decided(value: Any, text: str, kind: str | None) -> Any:
    if kind == "category":
        return text
    if kind == "number" and type(value) is str and len(text) < MOST_DIGITS and NUMBER.fullmatch(text):
        number = int(text) if WHOLE.fullmatch(text) else float(text)
        if type(number) is int and not LEAST <= number <= GREATEST:
            return value
        return number if math.isfinite(number) else value
    return value
