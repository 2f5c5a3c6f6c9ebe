"""`HeldStep`: one attempt of a step that the agent has, and its phases."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tailrace.launchers.job_queues import Job

__all__ = [
    "ACCEPTED", "ACTIVE", "CLOSED", "ENDED", "IN_QUEUE", "PERMITTED", "PREPARED", "SETTLED", "SUBMITTED",
    "SUBMITTING", "HeldStep", "job_name", "replayed", "update",
]  # fmt: skip

ACCEPTED = "accepted"
"""Its folder exists. Next: write input files and script."""
PREPARED = "prepared"
"""Next: ask for permission to submit."""
PERMITTED = "permitted"
SUBMITTING = "submitting"
"""The submission has begun. Whether the queue has the job is not known."""
SUBMITTED = "submitted"
"""The queue has the job, or had it."""
ENDED = "ended"
"""Next: validate and extract."""
SETTLED = "settled"
"""``results.json`` is written. Next: report it, and upload files and log."""
CLOSED = "closed"
"""The server has everything. The files wait to be cleaned."""

IN_QUEUE = (SUBMITTING, SUBMITTED)
ACTIVE = (ACCEPTED, PREPARED, PERMITTED, SUBMITTING, SUBMITTED, ENDED)
"""Phases that need one of the agent's slots."""

STATES = {
    ACCEPTED: "claimed", PREPARED: "claimed", PERMITTED: "permitted", SUBMITTING: "permitted", SUBMITTED: "queued",
    ENDED: "settling", SETTLED: "settling",
}  # fmt: skip


@dataclass
class HeldStep:
    """One attempt.

    Attributes
    ----------
    step, fence
        Identifier of the step, and number of the attempt's fence.
    folder
        Folder of the attempt.
    program, limit
        Program, and time limit in seconds.
    phase
        What has been done.
    number
        The batch system's number of its job.
    submissions
        How often it was submitted, and what the last failed one printed (`trouble`).
    running, cancel
        Whether its job has begun; whether the server wants it cancelled.
    outcome
        How its job ended: ``exit_code``, ``reason``, ``began``, ``ended``, ``host``.
    state
        Final state, once it is settled.
    reports
        State changes that the server has not accepted yet, oldest first.
    """

    step: str
    fence: int
    folder: Path
    program: str = ""
    limit: int | None = None
    phase: str = ACCEPTED
    number: str = ""
    submissions: int = 0
    trouble: str = ""
    running: bool = False
    cancel: bool = False
    outcome: dict[str, Any] = field(default_factory=dict)
    state: str = ""
    reports: list[dict[str, Any]] = field(default_factory=list)

    # Not in the journal: known again after a restart.
    absent_since: float | None = None
    seen: bool = False
    busy: bool = False
    retry_at: float = 0.0
    log_sent: int = 0
    log_from: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """Step and fence."""
        return self.step, self.fence

    @property
    def server_state(self) -> str:
        """The state as the server calls it."""
        if self.phase == SUBMITTED and self.running:
            return "running"
        return self.state or STATES.get(self.phase, "settling")

    def job(self, server: str) -> Job:
        """Returns its job as the queue knows it."""
        return Job(job_name(server, self.step), f"fence-{self.fence}", self.number, self.limit)

    def record(self) -> dict[str, Any]:
        """Returns the whole as one record of the journal."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name in KEPT}
        return {"step": self.step, "fence": self.fence, **found}


KEPT = (
    "program", "limit", "phase", "number", "submissions", "trouble", "running", "cancel", "outcome", "state", "reports",
)  # fmt: skip
"""Attributes in the journal."""


def job_name(server: str, step: str) -> str:
    """Returns the name of a step's jobs: it is made of server and step."""
    return f"tr-{hashlib.sha256(server.encode()).hexdigest()[:8]}-{step}"


def replayed(records: list[dict[str, Any]], folder_of: Any) -> dict[tuple[str, int], HeldStep]:
    """Returns the steps that a journal's records tell of."""
    found: dict[tuple[str, int], HeldStep] = {}
    for record in records:
        key = record["step"], record["fence"]
        if record.get("gone"):
            found.pop(key, None)
            continue
        held = found.setdefault(key, HeldStep(*key, folder_of(*key)))
        update(held, record)
    return found


def update(held: HeldStep, changes: Mapping[str, Any]) -> None:
    """Apply changes of the journal."""
    for name, value in changes.items():
        if name in KEPT:
            setattr(held, name, value)
