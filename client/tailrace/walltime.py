"""How much wall time to request for the next job: an upper quantile of what a model expects, with a margin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.durations import duration, written
from tailrace.errors import TailraceError, Unusable

if TYPE_CHECKING:
    from tailrace.model import Model
    from tailrace.results import PointWarning

__all__ = ["FLOOR", "QUANTILE", "Margin", "NoWallTime", "WallTime", "margin", "wall_time"]

QUANTILE = 0.95
FLOOR = 60.0
UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
"""Seconds of a target's unit; without one it is taken to be in seconds."""


class NoWallTime(TailraceError):
    """The model can't say how long the job may take: it has learned nothing yet, or gives no interval."""


class Margin(NamedTuple):
    """What is added to the quantile: a share of it, and seconds."""

    share: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class WallTime:
    """A wall time to request.

    Attributes
    ----------
    seconds
        What to request.
    bound
        The model's own upper bound, in seconds: the job ends within it with probability `quantile`.
    expected
        The model's prediction, in seconds.
    at
        The last observation that the model had learned.
    warnings
        How the job differs from those that were seen, as `Prediction.warnings` has it.
    """

    seconds: float
    bound: float
    expected: float
    quantile: float
    model: str
    at: int
    warnings: tuple[PointWarning, ...] = ()

    def written(self, form: str = "slurm") -> str:
        """As a scheduler takes it, rounded up: see `tailrace.durations.written`."""
        return written(self.seconds, form)

    def __repr__(self) -> str:
        return (
            f"{self.written()} ({self.model} expects {self.expected:.4g} s, and less than {self.bound:.4g} s with "
            f"probability {self.quantile:g}, after observation {self.at})"
        )


def margin(text: str) -> Margin:
    """Read a margin: ``10%``, ``30s``, ``5m``, or both as ``10%+30s``.

    Raises
    ------
    Unusable
        If it is none of those.
    """
    share = seconds = 0.0
    for part in text.split("+"):
        percent = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", part)
        if percent is not None:
            share += float(percent[1]) / 100
            continue
        try:
            seconds += duration(part)
        except Unusable:
            raise Unusable(f"{text!r} is no margin: expected a share, a time or both, as 10%, 30s or 10%+30s") from None
    return Margin(share, seconds)


def wall_time(
    model: Model,
    x: Mapping[str, Any],
    *,
    quantile: float = QUANTILE,
    margin: Margin = Margin(),  # noqa: B008  # a constant
    floor: float = FLOOR,
    ceiling: float | None = None,
) -> WallTime:
    """The wall time to request for a job, so that it ends in time with probability `quantile`.

    Parameters
    ----------
    model
        Of a run time, with intervals, as the recipe ``runtime`` makes it.
    x
        The job's features.
    quantile
        Probability, between 0.5 and 1, that the job ends within the time before the margin is added.
    margin
        Added for what the model doesn't know: `margin.share` of the quantile, and `margin.seconds`.
    floor, ceiling
        Seconds; no less and no more than these is requested, whatever the model says.

    Raises
    ------
    NoWallTime
        If the model has learned nothing yet, gives no intervals, or predicts something that is no time.
    Unusable
        If an argument is out of its range.
    Refused, Unreachable
        As `Model.predict` does.
    """
    if not 0.5 < quantile < 1:
        raise Unusable(f"quantile is {quantile}: expected a probability between 0.5 and 1, such as 0.95")
    if not floor > 0 or (ceiling is not None and not ceiling >= floor):
        raise Unusable(f"floor is {floor:g} s and ceiling {ceiling} s: expected 0 < floor ≤ ceiling")
    # The upper end of a central interval leaves out half of what the interval leaves out.
    answer = model.predict(x, level=2 * quantile - 1)
    if answer.high is None and answer.low is None and not answer.value and not answer.at:
        raise NoWallTime(f"model {model.name} has learned nothing yet")
    if answer.high is None:
        raise NoWallTime(f"model {model.name} gives no interval: make one from the recipe runtime, which does")
    if answer.high <= 0:
        raise NoWallTime(f"model {model.name} has learned nothing yet")
    unit = UNITS.get(answer.unit.lower())
    if unit is None:
        raise NoWallTime(f"model {model.name} predicts in {answer.unit!r}, which is no unit of time")
    bound = unit * answer.high
    seconds = max(bound * (1 + margin.share) + margin.seconds, floor)
    seconds = seconds if ceiling is None else min(seconds, ceiling)
    return WallTime(seconds, bound, unit * float(answer.value), quantile, model.name, answer.at, answer.warnings)
