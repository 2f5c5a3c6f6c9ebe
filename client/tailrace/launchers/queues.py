"""Commands of batch systems: running them, and reading what they print."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tailrace.launchers.slurm_environment import submit_environment

__all__ = ["QueueFailed", "call", "cluster_of", "lasting_reason", "named_clusters", "submit"]

TIMEOUT = 120
"""Seconds that a command of the batch system may take."""

NUMBER = re.compile(r"(?:Job <)?(\d+[^\s>;]*)")  # "12", "12;cluster", "12.server", "Job <12> is submitted …"
CLUSTER = re.compile(r"CLUSTER: (\S+)")
"""Slurm's line before the jobs of one of several clusters."""
NEVER = re.compile(
    r"PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|PartitionDown|PartitionInactive|BadConstraints|MaxMemPerLimit"
    r"|DependencyNeverSatisfied|InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|AccountingPolicy|ReservationDeleted"
    r"|JobHeld\w*|JobHoldMaxRequeue|launch_failed_requeued_held|QOSMin\w*|(?:Assoc|QOS|Max)\w*Per(?:Job|Node)\w*"
)
"""Slurm's reasons that keep a job waiting until somebody changes the job or the cluster."""

NONE = "No unfinished job found"
"""LSF's message for an empty list. LSF may exit with an error code then."""


class QueueFailed(Exception):
    """A command of the batch system failed or is not installed. The message contains its output."""


def submit(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> str:
    """Submit a job with a command such as ``sbatch``, and return the job's number. The job inherits `environment`.

    Where ``sbatch`` names the cluster that it handed the job to, the number is ``12;cluster``.

    Raises
    ------
    QueueFailed
        If the command fails, or its output contains no number.
    """
    output = call(command, directory, submit_environment(environment))
    for line in output.splitlines():
        for number in _numbers(line):
            cluster = line.strip().partition(";")[2] if command[0] == "sbatch" else ""
            return f"{number};{cluster}" if cluster else number
    raise QueueFailed(f"{command[0]} accepted the job, but printed no job number: {output.strip()!r}")


def cluster_of(number: str) -> str:
    """Returns the cluster of a job's number, which :func:`submit` returned; empty for the cluster of this machine."""
    return number.partition(";")[2]


def named_clusters(options: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the clusters that ``sbatch`` may choose from, by its options or by variables; none: this machine's cluster."""
    named = environ.get("SBATCH_CLUSTERS") or environ.get("SLURM_CLUSTERS") or ""
    words = iter(options)
    for word in words:
        if word in ("-M", "--clusters", "--cluster"):
            named = next(words, "")
        elif (found := re.match(r"-M(.+)|--clusters?=(.+)", word)) is not None:
            named = found[1] or found[2]
    return tuple(name.strip() for name in named.split(",") if name.strip())


def lasting_reason(reason: str) -> str:
    """Returns a reason of Slurm for which a job waits if it keeps waiting until somebody changes something; else nothing."""
    return reason if NEVER.fullmatch(reason) else ""


def _numbers(output: str) -> Iterator[str]:
    for line in output.splitlines():
        if (found := NUMBER.match(line.strip())) is not None:
            yield found[1]


def call(command: Sequence[str], directory: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of the batch system, and return what it prints. Raises QueueFailed if it fails."""
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise QueueFailed(f"{command[0]} is not installed here, or not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise QueueFailed(f"{command[0]} did not end within {TIMEOUT} s") from None
    if done.returncode != 0 and NONE not in done.stderr:
        words = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise QueueFailed(f"{command[0]} failed: {words}")
    return done.stdout
