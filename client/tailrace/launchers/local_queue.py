"""`LocalQueue`: jobs as detached processes of this machine.

A job continues if the process that started it ends. It is found again by a variable of its environment, which names the
job, and known by its process number together with its start time, because process numbers are used again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tailrace.launchers.job_queues import RUNNING, Job, JobQueue, QueuedJob
from tailrace.launchers.queues import QueueFailed
from tailrace.launchers.schedulers import Launcher, Resources

__all__ = ["VARIABLE", "LocalQueue", "start_time"]

VARIABLE = "TAILRACE_JOB"
"""Variable of a job's environment, with its name and its fence."""

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a job that is over its time limit."""


class LocalQueue(JobQueue):
    """Runs scripts as detached processes of this machine. Needs Linux, for ``/proc``."""

    def __init__(self, launcher: Launcher, environment: Mapping[str, str]) -> None:
        super().__init__(launcher, environment)
        self._children: list[subprocess.Popen[bytes]] = []

    def submit(self, job: Job, script: Path, output: Path, resources: Resources) -> str:
        environment = {**self.environment, VARIABLE: " ".join(job.key)}
        try:
            with open(output, "ab") as file:
                process = subprocess.Popen(
                    ["/bin/sh", str(script)], cwd=script.parent, env=environment, stdin=subprocess.DEVNULL,
                    stdout=file, stderr=file, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise QueueFailed(f"{script} can't be started: {error}") from None
        self._children.append(process)
        return f"{process.pid}.{start_time(process.pid)}"

    def watch(self, jobs: Sequence[Job]) -> dict[tuple[str, str], list[QueuedJob]]:
        # Those that have ended are collected, so that they are no longer processes.
        for one in list(self._children):
            if one.poll() is not None:
                self._children.remove(one)
        wanted = {" ".join(job.key): job for job in jobs}
        found: dict[tuple[str, str], list[QueuedJob]] = {}
        for pid, name in _processes():
            job, started = wanted.get(name), start_time(pid)
            if job is None or not started:
                continue
            some = found.setdefault(job.key, [])
            if _session(pid) == pid:
                some.insert(0, QueuedJob(f"{pid}.{started}", RUNNING))
                _end_late(pid, started, job)
            elif not some:
                # A child of the script. It stands for the job if the script itself was killed.
                some.append(QueuedJob(f"{pid}.{started}", RUNNING, "its script has ended"))
        return {key: some[:1] for key, some in found.items()}

    def cancel(self, numbers: Iterable[str]) -> None:
        for number in numbers:
            pid, _, started = number.partition(".")
            if pid.isdigit() and started and start_time(int(pid)) == started:
                _signal(int(pid), signal.SIGTERM)


def _processes() -> Iterator[tuple[int, str]]:
    """Yields process number and job of each process of this user that belongs to a job."""
    mark = f"{VARIABLE}=".encode()
    try:
        names = os.listdir("/proc")
    except OSError as error:
        raise QueueFailed(f"/proc can't be read: {error.strerror}") from None
    for name in filter(str.isdigit, names):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                variables = file.read()
        except OSError:
            continue  # it ended, or is another user's
        if mark in variables:
            for one in variables.split(b"\0"):
                if one.startswith(mark):
                    yield int(name), one[len(mark) :].decode(errors="replace")


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def start_time(pid: int) -> str:
    """Returns when a process started, in clock ticks since the boot, with the boot's identifier; empty if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            identifier = boot.read().strip()[:8]
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else f"{int(fields[19])}-{identifier}"


def _end_late(pid: int, started: str, job: Job) -> None:
    """End a job that is over its time limit."""
    if job.limit is None:
        return
    with open("/proc/uptime", encoding="ascii") as file:
        age = float(file.read().split()[0]) - int(started.partition("-")[0]) / os.sysconf("SC_CLK_TCK")
    if age > job.limit:
        _signal(pid, signal.SIGKILL if age > job.limit + GRACE else signal.SIGTERM)


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal the process group of a job's process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if (group := os.getpgid(pid)) != os.getpgrp():
            os.killpg(group, number)
