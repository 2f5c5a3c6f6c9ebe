"""Errors of programs of calculations."""

from __future__ import annotations

from tailrace.errors import TailraceError, Unusable

__all__ = ["InvalidParameters", "InvalidResults", "ProgramUnavailable", "StepRefused"]


class ProgramUnavailable(TailraceError):
    """A program cannot run here. The message says what is missing and what to do."""


class StepRefused(TailraceError, ValueError):
    """A step cannot be prepared. The message names the parameter or file, its value and what was expected."""


class InvalidParameters(Unusable):
    """Parameters do not fit the program's schema.

    Attributes
    ----------
    field
        Name of the first wrong parameter; empty if the whole is wrong.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidResults(TailraceError, ValueError):
    """Results contain a number that is not finite, or something that JSON cannot carry. The message names it."""
