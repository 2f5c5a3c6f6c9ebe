"""How a step ended, how to try again, and what to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DONE", "FAILED", "UNCONVERGED", "Correction", "Keep", "Verdict"]

DONE, UNCONVERGED, FAILED = "done", "unconverged", "failed"


@dataclass(frozen=True)
class Verdict:
    """Whether a step's results may be used.

    Parameters
    ----------
    state
        ``done``, ``unconverged`` or ``failed``.
    reason
        What was found, with the file and the value. Required unless the step is done.
    cause
        A short name of the reason for `Program.correct`, such as ``scf-steps``.
    """

    state: str
    reason: str = ""
    cause: str = ""

    def __post_init__(self) -> None:
        if self.state not in (DONE, UNCONVERGED, FAILED):
            raise ValueError(f"a verdict of {self.state!r}: expected {DONE!r}, {UNCONVERGED!r} or {FAILED!r}")
        if self.state != DONE and not self.reason:
            raise ValueError(f"a verdict of {self.state!r} needs a reason")

    @classmethod
    def done(cls) -> Verdict:
        return cls(DONE)

    @classmethod
    def unconverged(cls, reason: str, cause: str = "") -> Verdict:
        return cls(UNCONVERGED, reason, cause)

    @classmethod
    def failed(cls, reason: str, cause: str = "") -> Verdict:
        return cls(FAILED, reason, cause)


@dataclass(frozen=True)
class Correction:
    """What the next attempt of a step does otherwise.

    Parameters
    ----------
    name
        Name of the correction, such as ``smaller mixing``.
    reason
        Why, with the old and the new value.
    corrections
        All changes of parameters for the next attempt, including those of earlier corrections that still apply.
    resources
        Resources of the next attempt that change, such as ``{"seconds": 7200}``.
    """

    name: str
    reason: str
    corrections: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "reason": self.reason, "corrections": dict(self.corrections),
            "resources": dict(self.resources),
        }  # fmt: skip


@dataclass(frozen=True)
class Keep:
    """Which files of a step to keep: glob patterns relative to its folder (`files.kept_files`).

    Parameters
    ----------
    children
        Kept until all child steps hold checked copies.
    always
        Kept until the retention has passed.
    """

    children: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
