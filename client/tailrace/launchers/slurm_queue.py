"""`SlurmQueue`: the queue of Slurm, of one cluster or of several."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tailrace.launchers.job_queues import ENDED, RUNNING, WAITING, Job, JobQueue, QueuedJob
from tailrace.launchers.queues import CLUSTER, NUMBER, QueueFailed, call, cluster_of, named_clusters, submit
from tailrace.launchers.schedulers import Launcher, Resources
from tailrace.launchers.slurm_environment import query_environment

__all__ = ["SlurmQueue"]

OVER = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
)  # fmt: skip
NOT_STARTED = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
GONE = re.compile(r"Invalid job id|Job/step already completing or completed", re.IGNORECASE)


class SlurmQueue(JobQueue):
    """The queue of Slurm. The job's comment is its fence."""

    def __init__(self, launcher: Launcher, environment: Mapping[str, str]) -> None:
        super().__init__(launcher, environment)
        self._clusters = named_clusters(launcher.options, self.environment)

    def submit(self, job: Job, script: Path, output: Path, resources: Resources) -> str:
        command = self.command(job, script, output, resources)
        assert command is not None
        return submit(command, script.parent, self.environment)

    def watch(self, jobs: Sequence[Job]) -> dict[tuple[str, str], list[QueuedJob]]:
        # Without a list of numbers: Slurm reports an error if one of them is unknown, and one list of the user's jobs is
        # the cheapest for its controller.
        command = ["squeue", "--noheader", "--states", "all", "--user", getpass.getuser()]
        command += ["--format", "%A|%T|%r|%j|%k"]
        command += [f"--clusters={','.join(self._clusters)}"] if self._clusters else []
        wanted = {job.key for job in jobs}
        found: dict[tuple[str, str], list[QueuedJob]] = {}
        cluster = self._clusters[0] if len(self._clusters) == 1 else ""
        for line in call(command, environment=query_environment(os.environ)).splitlines():
            if (heading := CLUSTER.match(line.strip())) is not None:
                cluster = heading[1]
                continue
            number, state, reason, name, comment = [*line.strip().split("|", 4), "", "", "", ""][:5]
            if NUMBER.fullmatch(number) and (name, comment) in wanted:
                over = state in OVER
                told = state if over else "" if reason == "None" else reason
                kind = ENDED if over else WAITING if state in NOT_STARTED else RUNNING
                number = f"{number};{cluster}" if cluster else number
                found.setdefault((name, comment), []).append(QueuedJob(number, kind, told))
        return found

    def cancel(self, numbers: Iterable[str]) -> None:
        by_cluster: dict[str, list[str]] = {}
        for number in numbers:
            by_cluster.setdefault(cluster_of(number), []).append(number.partition(";")[0])
        for cluster, own in by_cluster.items():
            where = [f"--clusters={cluster}"] if cluster else []
            try:
                call(["scancel", *where, *own], environment=query_environment(os.environ))
            except QueueFailed as error:
                if not GONE.search(str(error)):
                    raise

    def ending(self, number: str) -> str:
        number, _, cluster = number.partition(";")
        where = [f"--clusters={cluster}"] if cluster else []
        environment = query_environment(os.environ)
        for command in (
            ["sacct", *where, "--noheader", "--parsable2", "--allocations", "--format", "State", "--jobs", number],
            ["scontrol", *where, "--oneliner", "show", "job", number],
        ):
            try:
                told = call(command, environment=environment).strip()
            except QueueFailed:
                continue  # no accounting, or the job is forgotten
            state = re.search(r"JobState=(\S+)", told)
            told = state[1] if state else told.partition("\n")[0].partition(" ")[0]
            if told:
                return told
        return ""

    def check(self) -> str:
        told = call(["sinfo", "--version"], environment=query_environment(os.environ)).strip()
        self.watch([])
        return told
