"""Files and command lines of a sweep's jobs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tailrace.atomic_files import replacing
from tailrace.launchers.containers import Container
from tailrace.launchers.job_queues import Job
from tailrace.launchers.queue_kinds import make_queue
from tailrace.launchers.schedulers import Launcher, Resources

from lammps_jobs.runs.lammps_job import LOG, OUTPUT, LammpsNotFound, job_script, program
from lammps_jobs.sweep.inputs import Input
from lammps_jobs.sweep.plan import Plan, SweepDirectory, SweepJob

__all__ = ["PREDICTION", "RECEIPT", "JobBuilder", "lammps_program"]

SCRIPT, RECEIPT, PREDICTION = "job.sh", "receipt.json", "prediction.json"


@dataclass(frozen=True)
class JobBuilder:
    """Builds the files and command lines of the jobs.

    Attributes
    ----------
    lmp
        The LAMMPS program, in the container or on this machine.
    nodes, limit
        Nodes of each job, and its time limit in seconds; None for the launcher's own limit.
    environment
        Variables that each script sets, such as ``TAILRACE_URL``. The token is not among them: jobs get it by their own
        environment.
    """

    plan: Plan
    directory: SweepDirectory
    input: Input
    launcher: Launcher
    container: Container
    lmp: str
    nodes: int
    limit: int | None
    environment: Mapping[str, str]

    def lammps(self, job: SweepJob) -> list[str]:
        """Return the command line that runs LAMMPS, with launcher and input."""
        command = [self.lmp]
        for name, value in self.input.variables(job.point, job.seed).items():
            # Each needs its own -v: `-v x 8 y 8` makes x a list of three words.
            command += ["-v", name, value]
        command += ["-log", LOG, "-in", self.input.file, "-screen", "none"]
        start = self._start(job)
        if self.launcher.inside:
            return self.container.wrap(start + command, self.directory.path, self.directory.job(job))
        return start + self.container.wrap(command, self.directory.path, self.directory.job(job))

    def queued(self, job: SweepJob, fence: int) -> Job:
        """Return a job as a queue knows it. Its name is unique, because jobs of one name run one after the other."""
        return Job(f"tr-{self.plan.identity}-{job.name}", f"fence-{fence}", limit=self.limit)

    def submit(self, job: SweepJob) -> list[str] | None:
        """Return the command line that submits the job's script; None if it runs on this machine."""
        if not self.is_queued:
            return None
        directory = self.directory.job(job)
        queue = make_queue(self.launcher, {})
        return queue.command(self.queued(job, 1), directory / SCRIPT, directory / OUTPUT, self.resources(job))

    @property
    def is_queued(self) -> bool:
        """Whether jobs are submitted to a batch system. Flux queues the programs that scripts of this machine start."""
        return self.launcher.name not in ("local", "flux")

    def epilogue(self, job: SweepJob) -> list[str] | None:
        """Return the command line that reports the job; None if its result is not to be learned."""
        if self.plan.mode != "train":
            return None
        command = [sys.executable, "-m", "lammps_jobs.epilogue", "--log", LOG, "--stream", self.plan.stream]
        command += ["--key", self.plan.key(job), "--receipt", RECEIPT]
        command += ["--source", f"input={self.plan.input}", "--source", f"job={job.name}"]
        return command + [f"{name}={value}" for name, value in self.plan.features(job).items()]

    def write(self, job: SweepJob, fence: int | None = None) -> Path:
        """Create the job's directory with its script and links to its inputs. Return the script's path.

        With a `fence`, the script runs once, and only while no later fence was written.
        """
        directory = self.directory.job(job)
        directory.mkdir(parents=True, exist_ok=True)
        for name in self.input.files:
            link = directory / name
            if not link.is_symlink():
                # Relative, so that the link works in a container, too, at any mount point of the sweep's directory.
                link.symlink_to(os.path.relpath(self.directory.inputs / name, directory))
        (directory / LOG).unlink(missing_ok=True)
        script = directory / SCRIPT
        if fence is not None:
            with replacing(directory / "fence") as part:
                part.write_text(f"{fence}\n", encoding="utf-8")
        text = job_script(directory, self.lammps(job), self.epilogue(job), self.environment, fence)
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
        return script

    def _start(self, job: SweepJob) -> list[str]:
        start = self.launcher.start(self.resources(job))
        if start[:1] == ["mpiexec"] and self.container.runtime == "none":
            # The MPI that this LAMMPS was built with, if it came with one.
            beside = Path(self.lmp).with_name("mpiexec")
            start[0] = str(beside) if beside.is_file() else start[0]
        return start

    def resources(self, job: SweepJob) -> Resources:
        """Return the resources of a job."""
        return Resources(self.nodes, job.point["processes"], self.limit)


def lammps_program(given: str | None, container: Container) -> str:
    """Return the LAMMPS program to run. Raises LammpsNotFound if there is none and no container is used."""
    if container.runtime != "none":
        return given or "lmp"
    if given is None:
        return str(program("lmp"))
    found = shutil.which(given)
    if found is None:
        raise LammpsNotFound(f"{given} is not a program (--lmp)")
    return found
