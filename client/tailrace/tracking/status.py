"""`RunStatus`: where a run's lines are, for each back end."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BackendStatus", "RunStatus"]


@dataclass(frozen=True)
class BackendStatus:
    """What one back end has of what this process logged.

    Attributes
    ----------
    kind, address
        The back end.
    sent
        Lines that it has. A call of the run is one line, or a few.
    kept
        Lines that wait on disk, or in memory if there is no space on the disk.
    uploads
        Artifacts whose content waits.
    refused
        Things that it refused for good.
    reasons
        Why: the last 20 different reasons.
    trouble
        Why nothing can be sent now; empty if it can.
    where
        Where a person finds the run; empty if that is not known yet.
    """

    kind: str
    address: str
    sent: int
    kept: int
    uploads: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()
    trouble: str = ""
    where: str = ""

    def __str__(self) -> str:
        text = f"{self.kind} {self.address}: {self.sent} sent, {self.kept} kept, {self.refused} refused"
        if self.uploads:
            text += f", {self.uploads} artifacts wait"
        if self.trouble:
            text += f" ({self.trouble})"
        return "\n  ".join([text, *self.reasons])


@dataclass(frozen=True)
class RunStatus:
    """What became of what this process logged to a run.

    Attributes
    ----------
    run
        Identifier of the run.
    backends
        For each back end.
    logged
        Lines that were logged.
    unusable
        Values and calls that could not be logged, such as a metric that is not a number.
    reasons
        Why: the first 20 different reasons.
    dropped
        Lines that were lost because neither disk nor memory had space.
    trouble
        Why lines cannot be written to disk now; empty if they can.
    spool
        The directory with the lines that wait.
    """

    run: str
    backends: tuple[BackendStatus, ...]
    logged: int
    unusable: int = 0
    reasons: tuple[str, ...] = ()
    dropped: int = 0
    trouble: str = ""
    spool: str = ""
    by_kind: dict[str, BackendStatus] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for one in self.backends:
            self.by_kind.setdefault(one.kind, one)

    def __getitem__(self, kind: str) -> BackendStatus:
        """Returns the status of the back end with this name. Raises KeyError if there is none."""
        return self.by_kind[kind]

    @property
    def complete(self) -> bool:
        """Whether every back end has everything."""
        return not self.dropped and all(not one.kept and not one.uploads for one in self.backends)

    def __str__(self) -> str:
        lines = [f"run {self.run}: {self.logged} lines logged", *map(str, self.backends)]
        if self.unusable:
            lines.append(f"{self.unusable} values could not be logged:")
            lines += [f"  {one}" for one in self.reasons]
        if self.dropped:
            lines.append(f"{self.dropped} lines were lost: neither disk nor memory had space")
        if self.trouble:
            lines.append(self.trouble)
        return "\n".join(lines)
