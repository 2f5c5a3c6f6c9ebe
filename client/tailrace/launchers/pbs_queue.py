"""`PbsQueue`: the queue of PBS Pro or OpenPBS."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tailrace.launchers.job_queues import ENDED, RUNNING, WAITING, Job, JobQueue, QueuedJob
from tailrace.launchers.queues import TIMEOUT, QueueFailed, call, submit
from tailrace.launchers.schedulers import Resources

__all__ = ["PbsQueue"]

NOT_STARTED = ("H", "Q", "T", "W")
UNKNOWN = "Unknown Job Id"
FINISHED = "Job has finished"


class PbsQueue(JobQueue):
    """The queue of PBS. Names may have 15 characters, so a job's name is a hash of name and fence."""

    def command(self, job: Job, script: Path, output: Path, resources: Resources) -> list[str] | None:
        return self.launcher.submit(script, short_name(job), output, resources, job.fence)

    def submit(self, job: Job, script: Path, output: Path, resources: Resources) -> str:
        command = self.command(job, script, output, resources)
        assert command is not None
        return submit(command, script.parent, self.environment)

    def watch(self, jobs: Sequence[Job]) -> dict[tuple[str, str], list[QueuedJob]]:
        found: dict[tuple[str, str], list[QueuedJob]] = {}
        names = {short_name(job): job.key for job in jobs}
        numbers = [job.number for job in jobs if job.number]
        for job in jobs:
            if not job.number:  # rare: its submission gave no answer
                told = call(["qselect", "-u", getpass.getuser(), "-N", short_name(job)], environment=os.environ)
                numbers += told.split()
        if not numbers:
            return found
        for number, facts in _jobs(_status(numbers)).items():
            key = names.get(str(facts.get("Job_Name")))
            if key is not None:
                state = str(facts.get("job_state"))
                kind = ENDED if state in ("F", "X") else WAITING if state in NOT_STARTED else RUNNING
                found.setdefault(key, []).append(QueuedJob(number, kind, str(facts.get("comment") or "")))
        return found

    def cancel(self, numbers: Iterable[str]) -> None:
        for number in numbers:
            try:
                call(["qdel", number], environment=os.environ)
            except QueueFailed as error:
                if UNKNOWN not in str(error) and FINISHED not in str(error):
                    raise

    def check(self) -> str:
        return call(["qstat", "--version"], environment=os.environ).strip().partition("\n")[0]


def short_name(job: Job) -> str:
    """Returns the name of a job in PBS."""
    return "tr" + hashlib.sha256("\n".join(job.key).encode()).hexdigest()[:12]


def _status(numbers: Sequence[str]) -> str:
    """Returns the state of these jobs as JSON. A job that PBS has forgotten is missing, which is not an error."""
    command = ["qstat", "-x", "-f", "-F", "json", *numbers]
    try:
        done = subprocess.run(
            command, env=os.environ, capture_output=True, text=True, timeout=TIMEOUT, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise QueueFailed("qstat is not installed here, or not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise QueueFailed(f"qstat did not end within {TIMEOUT} s") from None
    others = [line for line in done.stderr.splitlines() if line.strip() and UNKNOWN not in line]
    if done.returncode != 0 and (others or UNKNOWN not in done.stderr):
        raise QueueFailed(f"qstat failed: {' '.join(others) or f'exit code {done.returncode}'}")
    return done.stdout


def _jobs(text: str) -> dict[str, dict[str, object]]:
    try:
        found: dict[str, dict[str, object]] = json.loads(text).get("Jobs", {}) if text.strip() else {}
    except (ValueError, AttributeError):
        raise QueueFailed("qstat printed something other than JSON: PBS Pro 14 or newer is needed") from None
    return found
