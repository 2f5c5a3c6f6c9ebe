"""`NotConverged`: a calculation ended without convergence."""

from __future__ import annotations

__all__ = ["NotConverged"]


class NotConverged(Exception):
    """The calculation ended without convergence.

    Parameters
    ----------
    reason
        What did not converge, with numbers.
    cause
        A short name for handlers (`tailrace.programs.Verdict`).
    """

    def __init__(self, reason: str, cause: str = "") -> None:
        super().__init__(reason)
        self.cause = cause
