"""Lines of the spool as points, params and tags, for back ends that know no others."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from tailrace.tracking.lines import LARGEST_STEP, text_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Flat", "Point", "flat_line", "flattened"]

SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Point:
    """A point of a metric."""

    key: str
    value: float
    step: int
    time_ms: int


@dataclass
class Flat:
    """What a line says.

    Attributes
    ----------
    points, params, tags
        What it logs.
    status, time_ms
        New status of the run, if any, and since when.
    artifact
        The line itself, if it is one of an artifact.
    """

    points: list[Point]
    params: dict[str, str]
    tags: dict[str, str]
    status: str = ""
    time_ms: int = 0
    artifact: dict[str, Any] | None = None


def flat_line(line: bytes) -> Flat:
    """Returns what a line says.

    Raises
    ------
    ValueError
        If the line is damaged.
    """
    data = json.loads(line)
    kind, values = data["kind"], data.get("values", {})
    time_ms, step = data.get("time_ms", 0), data.get("step") or 0
    if not isinstance(values, dict) or type(time_ms) is not int or not -LARGEST_STEP <= step <= LARGEST_STEP:
        raise ValueError("the line is damaged")
    if kind == "metrics":
        return Flat([Point(key, _number(value), step, time_ms) for key, value in values.items()], {}, {})
    if kind == "params":
        return Flat([], values, {})
    if kind == "tags":
        return Flat([], {}, values)
    if kind == "domain":
        numbers, texts = flattened(values)
        domain = data["domain"]
        points = [Point(f"{domain}/{key}", value, step, time_ms) for key, value in numbers.items()]
        return Flat(points, {}, {f"{domain}/{key}": text_value(text)[0] for key, text in texts.items()})
    if kind == "link":
        at = data.get("at")
        return Flat([], {}, {f"tailrace.link.{data['to']}.{data['name']}": "" if at is None else str(at)})
    if kind == "status":
        return Flat([], {}, {}, status=data["status"], time_ms=time_ms)
    if kind == "artifact":
        return Flat([], {}, {}, artifact=data)
    raise ValueError(f"there are no lines of kind {kind!r}")


def flattened(values: Mapping[str, Any], above: str = "") -> tuple[dict[str, float], dict[str, Any]]:
    """Returns the numbers and the other values of a document; names of nested ones are joined by a period."""
    numbers: dict[str, float] = {}
    texts: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{above}{name}"
        if isinstance(value, dict):
            more, other = flattened(value, f"{key}.")
            numbers.update(more)
            texts.update(other)
        elif isinstance(value, bool):
            texts[key] = "true" if value else "false"
        elif isinstance(value, (int, float)) or (isinstance(value, str) and value in SPECIAL):
            numbers[key] = _number(value)
        elif value is not None:
            texts[key] = value
    return numbers, texts


def _number(value: Any) -> float:
    if isinstance(value, str):
        return SPECIAL[value]
    return float(value)
