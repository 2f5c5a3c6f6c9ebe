"""What handlers of several programs share: how many corrections are left, and a longer wall time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tailrace.programs import Correction, Step, tail

__all__ = ["CORRECTIONS", "attempts_left", "better_mixing", "longer_walltime"]

_LIMIT = re.compile(
    r"DUE TO TIME LIMIT|walltime \d+ exceeded limit|TERM_RUNLIMIT|job reached timelimit|timeout: exception",
    re.IGNORECASE,
)
"""Messages of Slurm, PBS, LSF and Flux in the output of a job that they end at its time limit."""
LONGEST = 30 * 24 * 3600

CORRECTIONS: dict[str, Any] = {
    "type": "integer", "minimum": 0, "maximum": 5, "default": 2, "title": "Most corrections",
    "description": "Further attempts, with smaller mixing, more steps or a longer wall time, if a step does not converge.",
}  # fmt: skip
"""The parameter ``corrections``."""


def attempts_left(step: Step) -> int:
    """Return how many more attempts the step's parameter ``corrections`` allows. The first attempt is none of them."""
    return int(step.settings.get("corrections", 2)) - (step.attempt - 1)


def longer_walltime(step: Step, folder: Path, *, stopped_itself: bool = False) -> Correction | None:
    """Return an attempt with twice the time if the job was ended at its time limit; None if it was not.

    If a model set the limit, the next attempt has at least the time that was given with the step.
    With `stopped_itself`, the program is known to have stopped at it; else the batch system must say so in the output.
    """
    seconds = step.mpi_resources.limit
    longer = None if seconds is None else max(2 * seconds, step.given_seconds or 0)
    if longer is None or longer > LONGEST or attempts_left(step) < 1:
        return None
    # The program's output, and what the batch system wrote beside it.
    outputs = [path for name in ("output.txt", "scheduler.txt") if (path := folder / name).is_file()]
    if not stopped_itself and not any(_LIMIT.search(tail(path)) for path in outputs):
        return None
    reason = f"the job reached its time limit: {seconds} s → {longer} s"
    return Correction("longer wall time", reason, dict(step.corrections), {"seconds": longer})


def better_mixing(step: Step, least_mixing: float, most_iterations: int) -> Correction | None:
    """Return an attempt for a self-consistent field that did not converge: half the mixing, or twice the iterations.

    Attempts alternate between the two. The parameters are ``mixing`` and ``iterations``. None: there is nothing to try.
    """
    if attempts_left(step) < 1:
        return None
    mixing, iterations = step.settings["mixing"], step.settings["iterations"]
    more = min(most_iterations, 2 * iterations)
    if step.attempt % 2 == 1 and mixing / 2 >= least_mixing:
        change = {"mixing": mixing / 2, "iterations": more}
        return Correction("smaller mixing", f"mixing {mixing:g} → {mixing / 2:g}", {**step.corrections, **change})
    if more == iterations:
        return None
    return Correction("more steps", f"{iterations} → {more} iterations", {**step.corrections, "iterations": more})
