"""`make_queue`: the queue that belongs to a launcher."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.launchers.flux_queue import FluxQueue
from tailrace.launchers.job_queues import JobQueue
from tailrace.launchers.local_queue import LocalQueue
from tailrace.launchers.lsf_queue import LsfQueue
from tailrace.launchers.pbs_queue import PbsQueue
from tailrace.launchers.schedulers import Launcher
from tailrace.launchers.slurm_queue import SlurmQueue

__all__ = ["make_queue"]

KINDS: dict[str, type[JobQueue]] = {
    "local": LocalQueue,
    "slurm": SlurmQueue,
    "flux": FluxQueue,
    "pbs": PbsQueue,
    "lsf": LsfQueue,
}


def make_queue(launcher: Launcher, environment: Mapping[str, str]) -> JobQueue:
    """Returns the queue of a launcher, whose jobs have this environment."""
    return KINDS[launcher.name](launcher, environment)
