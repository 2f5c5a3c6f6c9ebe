"""What calculations cost in node-hours: what they took, and what one more would take."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.calculations import states
from server.calculations.models import Attempt, Calculation, Result
from server.core.json_codec import loads

AVERAGED = 20
"""Results of a program whose times are averaged."""


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to cost.

    Attributes
    ----------
    hours, low, high
        Mean, least and most node-hours of the results that are known.
    results
        How many results these are; 0 if nothing is known.
    """

    hours: float = 0.0
    low: float = 0.0
    high: float = 0.0
    results: int = 0


def by_stage(programs: dict[str, dict[str, Any]], upto: int) -> dict[str, Estimate]:
    """Return stage to the node-hours that a run of it takes with its labels, as its program and that of the labels took lately.

    A program that has no result yet counts as nothing.

    Parameters
    ----------
    programs
        The campaign's programs by stage.
    upto
        ID of the last result that counts.
    """
    own = {stage: _of_program(programs[stage]["program"], upto) for stage in programs}
    return {stage: one if stage == "label" else _sum(one, own["label"]) for stage, one in own.items()}


def _of_program(program: str, upto: int) -> Estimate:
    rows = Result.objects.filter(pk__lte=upto, state=states.DONE, attempt__step__program=program).order_by("-pk")
    found = [_hours(one.attempt, one) for one in rows.select_related("attempt__step")[:AVERAGED]]
    return Estimate(sum(found) / len(found), min(found), max(found), len(found)) if found else Estimate()


def _sum(one: Estimate, other: Estimate) -> Estimate:
    known = [some.results for some in (one, other) if some.results]
    return Estimate(one.hours + other.hours, one.low + other.low, one.high + other.high, min(known) if known else 0)


def of_calculation(calculation: Calculation) -> float:
    """Return the node-hours that all attempts of a calculation took."""
    attempts = Attempt.objects.filter(step__calculation=calculation, ended_at__isnull=False).select_related("step")
    results = {one.attempt_id: one for one in Result.objects.filter(attempt__in=attempts)}
    return sum(_hours(one, results.get(one.pk)) for one in attempts.order_by("pk"))


def _hours(attempt: Attempt, result: Result | None) -> float:
    """Return the node-hours of an attempt: as its job's script measured them, or else as the server saw it run."""
    times = {} if result is None else loads(result.times)
    began, ended = times.get("began"), times.get("ended")
    if began is not None and ended is not None:
        seconds = _time(ended) - _time(began)
    elif attempt.running_at is not None and attempt.ended_at is not None:
        seconds = (attempt.ended_at - attempt.running_at).total_seconds()
    else:
        seconds = 0.0
    nodes = loads(attempt.step.resources).get("nodes", 1)
    return max(0.0, seconds) * float(nodes) / 3600


def _time(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else datetime.fromisoformat(value).timestamp()
