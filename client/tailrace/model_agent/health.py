"""Health of a service: ``/ping``, and a sample invocation whose answer is known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tailrace.model_agent.engine import EngineError
from tailrace.model_agent.relay import NoAnswer, RelayPool

__all__ = ["difference", "problem"]

PING_SECONDS = 5.0
SAMPLE_SECONDS = 10.0


def problem(pool: RelayPool, sample: Mapping[str, Any]) -> str:
    """Return why a service isn't healthy; empty if it is."""
    try:
        ping = pool.ask("GET", "/ping", b"", "", PING_SECONDS)
        if ping.status != 200:
            return f"GET /ping answers {ping.status}"
        sent = json.dumps(sample.get("body")).encode()
        answer = pool.ask("POST", "/invocations", sent, "application/json", SAMPLE_SECONDS)
    except (NoAnswer, EngineError) as error:
        return str(error)
    if answer.status != 200:
        return f"the sample invocation answers {answer.status}: {answer.content[:200].decode(errors='replace')}"
    try:
        found = json.loads(answer.content)
    except (ValueError, RecursionError):
        return "the sample invocation answers no JSON"
    differs = difference(sample.get("expected"), found, float(sample.get("tolerance", 1e-9)))
    return f"the sample invocation answers something else: {differs}" if differs else ""


def difference(expected: Any, found: Any, tolerance: float, where: str = "the answer") -> str:
    """Return how an answer differs from the expected one; empty if it doesn't. Fields that aren't expected may be there."""
    is_number = isinstance(expected, (int, float)) and not isinstance(expected, bool)
    if is_number and isinstance(found, (int, float)) and not isinstance(found, bool):
        fine = math.isclose(expected, found, rel_tol=tolerance, abs_tol=tolerance)
        return "" if fine else f"{where} is {found!r}, expected {expected!r}"
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            if name not in found:
                return f"{where} has no {name!r}"
            differs = difference(value, found[name], tolerance, f"{where}[{name!r}]")
            if differs:
                return differs
        return ""
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{where} has {len(found)} items, expected {len(expected)}"
        for index, (one, other) in enumerate(zip(expected, found)):  # noqa: B905 - Python 3.9
            differs = difference(one, other, tolerance, f"{where}[{index}]")
            if differs:
                return differs
        return ""
    same = type(expected) is type(found) and expected == found
    return "" if same else f"{where} is {str(found)[:100]!r}, expected {str(expected)[:100]!r}"
