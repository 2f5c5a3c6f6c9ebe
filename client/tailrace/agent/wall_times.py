"""`WallTimes`: asks a model of the server how long a step may take, before its job is made."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from tailrace.agent.server_calls import ServerCalls
from tailrace.agent.wall_time_rule import WallTimeRule
from tailrace.errors import Refused, TailraceError

__all__ = ["WallTimes", "kept"]

PAUSE_AWAY, PAUSE_REFUSED = 60.0, 600.0
"""Seconds without a question after the server gave no answer, and after it has no such model, or refused the token."""

LONGEST = 400 * 24 * 3600


class WallTimes:
    """Asks for wall times. A question never delays a step by more than a few seconds, and none is asked in vain again and again.

    Parameters
    ----------
    calls
        Requests to the server.
    """

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls
        self._closed: dict[str, tuple[float, str]] = {}

    def why_not(self, model: str) -> str:
        """Returns why a model is not asked now; empty if it may be."""
        until, why = self._closed.get(model, (0.0, ""))
        return why if time.monotonic() < until else ""

    def ask(self, rule: WallTimeRule, x: Mapping[str, Any], given: int | None) -> dict[str, Any]:
        """Returns the wall time of a step with where it comes from, as the server stores it.

        Parameters
        ----------
        rule
            What the site says.
        x
            Features of the step.
        given
            The time that was given with the step, s. It is kept if the model has no usable answer.
        """
        try:
            answer = self._calls.predict(rule.model, x, 2 * rule.quantile - 1)
            at, expected, bound = _read(answer)
        except TailraceError as error:
            pause = PAUSE_REFUSED if isinstance(error, Refused) else PAUSE_AWAY
            self._closed[rule.model] = time.monotonic() + pause, str(error)
            return kept(rule.model, given, str(error))
        except (KeyError, TypeError, ValueError):
            return kept(rule.model, given, "it gives no upper bound: a model of the recipe runtime gives one")
        warnings = [one["message"] for one in answer.get("warnings") or () if one.get("code") != "more"]
        if at < rule.observations:
            return kept(
                rule.model, given, f"it has learned {at} observations, of {rule.observations:g} that are needed"
            )
        if warnings:
            return kept(rule.model, given, f"the step differs from all that it has learned: {warnings[0]}")
        ceiling = rule.most_seconds or given or LONGEST
        seconds = max(bound * (1 + rule.margin.share) + rule.margin.seconds, rule.least_seconds)
        seconds = max(1, min(math.ceil(seconds), int(ceiling), LONGEST))
        reason = (
            f"{rule.model} expects {expected:.4g} s, and at most {bound:.4g} s with probability {rule.quantile:g}, after "
            f"observation {at}; with margin and bounds {seconds} s"
        )
        found = {"expected": expected, "bound": bound, "quantile": rule.quantile, "at": at}
        return {"seconds": seconds, "given": given, "model": rule.model, "reason": reason, **found}


def kept(model: str, given: int | None, why: str) -> dict[str, Any]:
    """Returns the time that was given with a step as its wall time, with the reason why the model's is not used."""
    return {"seconds": given, "given": given, "model": model, "reason": f"the given time: {model} was not used, {why}"}


def _read(answer: Mapping[str, Any]) -> tuple[int, float, float]:
    """Returns the last observation, the prediction and its upper bound. Raises ValueError if the bound is not usable."""
    expected, bound = float(answer["prediction"]), float(answer["interval"][1])
    if not (math.isfinite(expected) and 0 < bound < LONGEST):
        raise ValueError
    return int(answer["at"]), expected, bound
