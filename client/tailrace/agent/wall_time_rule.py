"""`WallTimeRule`: how the site wants the wall times of steps to be found."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.walltime import QUANTILE, Margin

__all__ = ["WallTimeRule"]


@dataclass(frozen=True)
class WallTimeRule:
    """The site's table ``[walltime]``, with the program's own over it.

    Attributes
    ----------
    model
        The model to ask. Empty: steps have the time that was given with them.
    quantile, margin
        The upper quantile of the prediction, and what is added to it.
    least_seconds, most_seconds
        Bounds. `most_seconds` is 0 if the time that was given with the step is the upper bound.
    observations
        The model is not asked for its opinion before the stream has this many observations.
    """

    model: str = "calculations-walltime"
    quantile: float = QUANTILE
    margin: Margin = Margin(0.2, 60.0)  # noqa: RUF009 - a constant
    least_seconds: float = 300.0
    most_seconds: float = 0.0
    observations: float = 20.0
