"""The wall time of a finished step as an observation, from which a model learns how long such steps take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.programs.program import Program
from tailrace.programs.results import Observation
from tailrace.programs.step import Step

__all__ = ["WALLTIME_STREAM", "walltime_features", "walltime_observation"]

WALLTIME_STREAM = "calculations-walltime"


def walltime_features(program: Program, step: Step) -> dict[str, Any]:
    """Returns the features from which the wall time of a step is predicted, before it runs or after it.

    They are ``program``, ``atoms``, ``nodes``, ``processes``, and what the program adds
    (`Program.walltime_features`).
    """
    resources = step.mpi_resources
    common = {
        "program": step.program, "atoms": step.atoms, "nodes": resources.nodes, "processes": resources.processes,
    }  # fmt: skip
    return {**common, **program.walltime_features(step)}


def walltime_observation(
    program: Program, step: Step, seconds: float, *, source: Mapping[str, Any] | None = None
) -> Observation:
    """Returns the observation that a step whose results are valid took `seconds`.

    Parameters
    ----------
    program, step
        What ran.
    seconds
        Wall time from the start to the end of the job's command, s.
    source
        Provenance, such as the host and the job's number.

    Raises
    ------
    ValueError
        If `seconds` is negative, as when a clock was set back while the job ran. Such a time must not be learned.
    """
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"a wall time of {seconds} s: expected a finite number of at least 0")
    return Observation(
        WALLTIME_STREAM, "walltime", walltime_features(program, step), float(seconds), "s", dict(source or {})
    )
