"""`checked_step`: holds a step that came from the server to the program's own schema."""

from __future__ import annotations

from dataclasses import replace

from tailrace.programs.errors import StepRefused
from tailrace.programs.parameters import check_parameters
from tailrace.programs.program import Program
from tailrace.programs.step import Step

__all__ = ["checked_step"]


def checked_step(program: Program, step: Step) -> Step:
    """Returns the step with the defaults of missing parameters, and its corrections among the parameters.

    An agent calls this before it does anything else with a step: what the server checked may have been checked against
    another version of the program, or not at all.

    Raises
    ------
    InvalidParameters
        If a parameter does not fit the program's schema.
    StepRefused
        If a structure is missing or not wanted.
    """
    if program.needs_structure is True and step.structure is None:
        raise StepRefused(f"the program {step.program!r} needs a structure: choose one")
    if program.needs_structure is False and step.structure is not None:
        raise StepRefused(f"the program {step.program!r} takes no structure: leave it out")
    return replace(step, parameters=check_parameters(program.schema(), step.settings))
