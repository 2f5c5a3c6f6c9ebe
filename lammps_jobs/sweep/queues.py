"""What a batch system is asked by a program: to take a job, and which of the user's jobs it still has."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lammps_jobs.slurm_environment import for_asking, for_submitting

__all__ = ["QueueFailed", "found", "listed", "submit"]

PATIENCE = 120
LIST = {
    # The job's own number, also for the tasks of an array; and why it waits.
    "slurm": ["squeue", "--noheader", "--user", "{user}", "--format", "%A;%r"],
    "pbs": ["qselect", "-u", "{user}"],
    "lsf": ["bjobs", "-noheader", "-u", "{user}", "-o", "jobid"],
}
NUMBER = re.compile(r"(?:Job <)?(\d+[^\s>;]*)")  # "12", "12;cluster", "12.server", "Job <12> is submitted …"
NEVER = re.compile(
    r"PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|PartitionDown|PartitionInactive|BadConstraints|MaxMemPerLimit"
    r"|DependencyNeverSatisfied|InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|AccountingPolicy|ReservationDeleted"
    r"|JobHeld\w*|JobHoldMaxRequeue|launch_failed_requeued_held|QOSMin\w*|(?:Assoc|QOS|Max)\w*Per(?:Job|Node)\w*"
)
"""Slurm's reasons for which a job waits until somebody changes it or the cluster."""

NONE = "No unfinished job found"  # LSF, which may call this a failure.


class QueueFailed(Exception):
    """A command of the batch system failed or isn't there; the message holds what it said."""


def submit(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> str:
    """Hand in a job, which inherits the environment, and return its number. Raises QueueFailed."""
    said = _call(command, directory, for_submitting(environment))
    for number in _numbers(said):
        return number
    raise QueueFailed(f"{command[0]} took the job, but names no number: {said.strip()!r}")


def listed(launcher: str) -> dict[str, str]:
    """This user's jobs that wait or run: number to the reason why it doesn't start as things are, or to "".

    The reasons are Slurm's. Raises QueueFailed.
    """
    command = [word.format(user=getpass.getuser()) for word in LIST[launcher]]
    said = _call(command, environment=for_asking(os.environ))
    jobs = ((number, line.strip().partition(";")[2]) for line in said.splitlines() for number in _numbers(line))
    return {number: reason if NEVER.fullmatch(reason) else "" for number, reason in jobs}


def found(launcher: str, name: str, directory: Path) -> list[str]:
    """The numbers of this user's jobs of that name in that directory, also of those that ended a while ago.

    Slurm's alone; others are not asked. Raises QueueFailed.
    """
    if launcher != "slurm":
        return []
    command = [
        "squeue",
        "--noheader",
        "--states",
        "all",
        "--user",
        getpass.getuser(),
        "--name",
        name,
        "--format",
        "%A|%Z",
    ]
    lines = (line.strip().partition("|") for line in _call(command, environment=for_asking(os.environ)).splitlines())
    return [number for number, _, where in lines if where == str(directory)]


def _numbers(said: str) -> Iterator[str]:
    for line in said.splitlines():
        if (found := NUMBER.match(line.strip())) is not None:
            yield found[1]


def _call(command: Sequence[str], directory: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise QueueFailed(f"{command[0]} is not installed here, or not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise QueueFailed(f"{command[0]} gave no answer in {PATIENCE} s") from None
    if done.returncode != 0 and NONE not in done.stderr:
        words = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise QueueFailed(f"{command[0]} failed: {words}")
    return done.stdout
