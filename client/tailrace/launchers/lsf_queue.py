"""`LsfQueue`: the queue of LSF."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tailrace.launchers.job_queues import ENDED, RUNNING, WAITING, Job, JobQueue, QueuedJob
from tailrace.launchers.queues import QueueFailed, call, submit
from tailrace.launchers.schedulers import Resources

__all__ = ["LsfQueue"]


class LsfQueue(JobQueue):
    """The queue of LSF. The job's description is its fence."""

    def submit(self, job: Job, script: Path, output: Path, resources: Resources) -> str:
        command = self.command(job, script, output, resources)
        assert command is not None
        return submit(command, script.parent, self.environment)

    def watch(self, jobs: Sequence[Job]) -> dict[tuple[str, str], list[QueuedJob]]:
        command = ["bjobs", "-noheader", "-a", "-u", getpass.getuser()]
        command += ["-o", "jobid stat job_name job_description delimiter='|'"]
        wanted = {job.key for job in jobs}
        found: dict[tuple[str, str], list[QueuedJob]] = {}
        for line in call(command, environment=os.environ).splitlines():
            number, state, name, fence = [*(word.strip() for word in line.split("|", 3)), "", "", ""][:4]
            if (name, fence) in wanted:
                kind = (
                    ENDED if state in ("DONE", "EXIT", "ZOMBI") else WAITING if state in ("PEND", "PSUSP") else RUNNING
                )
                found.setdefault((name, fence), []).append(QueuedJob(number, kind, state if kind == ENDED else ""))
        return found

    def cancel(self, numbers: Iterable[str]) -> None:
        for number in numbers:
            try:
                call(["bkill", number], environment=os.environ)
            except QueueFailed as error:
                if "finished" not in str(error) and "No matching job" not in str(error):
                    raise

    def check(self) -> str:
        told = call(["lsid"], environment=os.environ).strip().partition("\n")[0]
        self.watch([])
        return told
