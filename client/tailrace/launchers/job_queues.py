"""`JobQueue`: submits jobs that run once, finds them by name and fence, watches all of them by one call, and cancels them.

A sweep and an agent may be killed at any time, and a batch system may accept a job and fail to say so. For this reason a
job is known by its name and its fence, which the queue keeps with it, and not by the number that a submission prints.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailrace.launchers.schedulers import Launcher, Resources

__all__ = ["ENDED", "RUNNING", "WAITING", "Job", "JobQueue", "QueuedJob"]

WAITING, RUNNING, ENDED = "waiting", "running", "ended"


@dataclass(frozen=True)
class Job:
    """A job as its owner knows it.

    Attributes
    ----------
    name, fence
        Together they are unique for this user. No two jobs of one name run at the same time.
    number
        The number that the batch system gave it; empty while it is not known.
    limit
        Time limit in seconds. None: the site's default.
    """

    name: str
    fence: str
    number: str = ""
    limit: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Name and fence."""
        return self.name, self.fence


@dataclass(frozen=True)
class QueuedJob:
    """A job as the queue shows it.

    Attributes
    ----------
    number
        The batch system's number.
    state
        ``waiting``, ``running`` or ``ended``.
    reason
        The batch system's word for why it waits or how it ended, such as ``TIMEOUT``; may be empty.
    """

    number: str
    state: str
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.state != ENDED


class JobQueue(ABC):
    """The queue of one batch system, or of this machine.

    Parameters
    ----------
    launcher
        The launcher whose options the submissions have.
    environment
        Environment of the jobs.
    """

    def __init__(self, launcher: Launcher, environment: Mapping[str, str]) -> None:
        self.launcher = launcher
        self.environment = dict(environment)

    def command(self, job: Job, script: Path, output: Path, resources: Resources) -> list[str] | None:
        """Returns the command that submits a script. None: it runs as a process of this machine."""
        return self.launcher.submit(script, job.name, output, resources, job.fence)

    @abstractmethod
    def submit(self, job: Job, script: Path, output: Path, resources: Resources) -> str:
        """Submit a script, and return the job's number.

        Raises
        ------
        QueueFailed
            If the submission failed, or its answer was lost. The job may be in the queue, now or later: `find` tells.
        """

    @abstractmethod
    def watch(self, jobs: Sequence[Job]) -> dict[tuple[str, str], list[QueuedJob]]:
        """Returns what the queue knows of these jobs, by name and fence, from one call of the batch system.

        A job that is missing is not in the queue. Jobs that ended recently may be in it. Usually there is one job for a
        name and fence; there are several if a submission was repeated.

        Raises
        ------
        QueueFailed
            If the queue gave no answer. This says nothing about the jobs.
        """

    @abstractmethod
    def cancel(self, numbers: Iterable[str]) -> None:
        """Cancel jobs by their numbers. Jobs that have ended are passed over.

        Raises
        ------
        QueueFailed
            If the batch system gave no answer.
        """

    def find(self, job: Job) -> list[QueuedJob]:
        """Returns the queue's jobs of this name and fence. Raises QueueFailed like `watch`."""
        return self.watch([job]).get(job.key, [])

    def ending(self, number: str) -> str:
        """Returns how a job that has left the queue ended, in the batch system's words; empty if it does not say."""
        return ""

    def check(self) -> str:
        """Returns the batch system's name and version. Raises QueueFailed if it gives no answer."""
        return self.launcher.name
