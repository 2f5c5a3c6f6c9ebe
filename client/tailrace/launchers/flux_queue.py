"""`FluxQueue`: the queue of a Flux instance."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tailrace.launchers.job_queues import RUNNING, WAITING, Job, JobQueue, QueuedJob
from tailrace.launchers.queues import QueueFailed, call
from tailrace.launchers.schedulers import Resources

__all__ = ["FluxQueue"]

MOST = 100_000
NOT_STARTED = ("DEPEND", "PRIORITY", "SCHED", "PENDING")


class FluxQueue(JobQueue):
    """The queue of Flux. A job's name is name and fence, joined by a dot."""

    def submit(self, job: Job, script: Path, output: Path, resources: Resources) -> str:
        command = ["flux", "batch", "--job-name", _name(job.key), "--nodes", str(resources.nodes)]
        command += ["--nslots", str(resources.processes), "--output", str(output), "--cwd", str(script.parent)]
        command += [] if resources.limit is None else ["--time-limit", f"{resources.limit}s"]
        told = call([*command, *self.launcher.options, str(script)], script.parent, self.environment).split()
        if not told:
            raise QueueFailed("flux batch accepted the job, but printed no job number")
        return told[-1]

    def watch(self, jobs: Sequence[Job]) -> dict[tuple[str, str], list[QueuedJob]]:
        command = ["flux", "jobs", "--no-header", "--filter", "pending,running", "--count", str(MOST)]
        wanted = {_name(job.key): job.key for job in jobs}
        found: dict[tuple[str, str], list[QueuedJob]] = {}
        for line in call([*command, "--format", "{id.f58}|{state}|{name}"], environment=os.environ).splitlines():
            number, state, name = [*line.strip().split("|", 2), "", ""][:3]
            if name in wanted:
                kind = WAITING if state in NOT_STARTED else RUNNING
                found.setdefault(wanted[name], []).append(QueuedJob(number, kind))
        return found

    def cancel(self, numbers: Iterable[str]) -> None:
        for number in numbers:
            try:
                call(["flux", "cancel", number], environment=os.environ)
            except QueueFailed as error:
                if "inactive" not in str(error) and "unknown job" not in str(error):
                    raise

    def check(self) -> str:
        told = call(["flux", "version"], environment=os.environ).split("\n")[0]
        self.watch([])
        return "flux " + told.split()[-1]


def _name(key: tuple[str, str]) -> str:
    return ".".join(key)
