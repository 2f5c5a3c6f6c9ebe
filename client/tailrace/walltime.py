"""The wall time to request for a job: an upper quantile of a model's prediction, plus a margin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.durations import format_duration, parse_duration
from tailrace.errors import TailraceError, Unusable

if TYPE_CHECKING:
    from tailrace.handles.model import Model
    from tailrace.results.predictions import PointWarning

__all__ = ["FLOOR", "QUANTILE", "Margin", "NoWallTime", "WallTime", "margin", "wall_time"]

QUANTILE = 0.95
FLOOR = 60.0
UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
"""Seconds in each unit of a target. A target without a unit is in seconds."""


class NoWallTime(TailraceError):
    """The model cannot predict how long the job may take: it has learned nothing yet, or computes no intervals."""


class Margin(NamedTuple):
    """A margin to add to the quantile: a share of the quantile, and seconds."""

    share: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class WallTime:
    """A wall time to request.

    Attributes
    ----------
    seconds
        The wall time to request, in seconds.
    bound
        The model's upper bound without the margin, in seconds. The job ends within it with probability `quantile`.
    expected
        The model's prediction, in seconds.
    quantile
        Probability, between 0.5 and 1.
    model
        Name of the model.
    at
        Number of the last observation that the model had learned.
    warnings
        How the job differs from all observations, as in `Prediction.warnings`.
    """

    seconds: float
    bound: float
    expected: float
    quantile: float
    model: str
    at: int
    warnings: tuple[PointWarning, ...] = ()

    def written(self, form: str = "slurm") -> str:
        """Returns the wall time in the format of a scheduler, rounded up. See `tailrace.durations.format_duration`."""
        return format_duration(self.seconds, form)

    def __repr__(self) -> str:
        return (
            f"{self.written()} ({self.model} expects {self.expected:.4g} s, and less than {self.bound:.4g} s with "
            f"probability {self.quantile:g}, after observation {self.at})"
        )


def margin(text: str) -> Margin:
    """Read a margin, such as ``10%``, ``30s``, ``5m`` or ``10%+30s``.

    Raises
    ------
    Unusable
        If the text has none of these forms.
    """
    share = seconds = 0.0
    for part in text.split("+"):
        percent = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", part)
        if percent is not None:
            share += float(percent[1]) / 100
            continue
        try:
            seconds += parse_duration(part)
        except Unusable:
            raise Unusable(
                f"{text!r} is not a margin: expected a share, a time or both, as 10%, 30s or 10%+30s"
            ) from None
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
    """Returns the wall time to request for a job, so that it ends in time with probability `quantile`.

    Parameters
    ----------
    model
        A model that predicts a run time and computes intervals, such as one of the recipe ``runtime``.
    x
        Features of the job.
    quantile
        Probability, between 0.5 and 1, that the job ends within the time before the margin is added.
    margin
        Time to add for what the model does not know: `margin.share` of the quantile, and `margin.seconds`.
    floor, ceiling
        Shortest and longest wall time to return, in seconds.

    Raises
    ------
    NoWallTime
        If the model has learned nothing yet, computes no intervals, or does not predict a time.
    Unusable
        If an argument is out of its range.
    Refused, Unreachable
        Like `Model.predict`.
    """
    if not 0.5 < quantile < 1:
        raise Unusable(f"quantile is {quantile}: expected a probability between 0.5 and 1, such as 0.95")
    if not floor > 0 or (ceiling is not None and not ceiling >= floor):
        raise Unusable(f"floor is {floor:g} s and ceiling {ceiling} s: expected 0 < floor ≤ ceiling")
    # A value is above a central interval with probability (1 - level) / 2, which must be 1 - quantile.
    answer = model.predict(x, level=2 * quantile - 1)
    if answer.high is None and answer.low is None and not answer.value and not answer.at:
        raise NoWallTime(f"model {model.name} has learned nothing yet")
    if answer.high is None:
        raise NoWallTime(
            f"model {model.name} gives no interval: create a model from the recipe runtime, which gives one"
        )
    if answer.high <= 0:
        raise NoWallTime(f"model {model.name} has learned nothing yet")
    unit = UNITS.get(answer.unit.lower())
    if unit is None:
        raise NoWallTime(f"model {model.name} predicts in {answer.unit!r}, which is not a unit of time")
    bound = unit * answer.high
    seconds = max(bound * (1 + margin.share) + margin.seconds, floor)
    seconds = seconds if ceiling is None else min(seconds, ceiling)
    return WallTime(seconds, bound, unit * float(answer.value), quantile, model.name, answer.at, answer.warnings)
