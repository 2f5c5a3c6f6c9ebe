"""A sweep's jobs as files and command lines."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lammps_jobs.run import LOG, OUTPUT, LammpsNotFound, job_script, program
from lammps_jobs.sweep.containers import Container
from lammps_jobs.sweep.inputs import Input
from lammps_jobs.sweep.launchers import Launcher, Resources
from lammps_jobs.sweep.plan import Plan, SweepDirectory, SweepJob

__all__ = ["PREDICTION", "RECEIPT", "Recipe", "lammps_program"]

SCRIPT, RECEIPT, PREDICTION = "job.sh", "receipt.json", "prediction.json"


@dataclass(frozen=True)
class Recipe:
    """All that makes a job of the plan's into command lines.

    Attributes
    ----------
    lmp
        The LAMMPS program, as the container or this machine finds it.
    nodes, limit
        Of every job: nodes, and seconds at most, None for the launcher's own limit.
    environment
        What each script sets, such as ``TAILRACE_URL``. No token: that reaches a job by its own environment.
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
        """The command line that runs LAMMPS, from the launcher to the input."""
        command = [self.lmp]
        for name, value in self.input.variables(job.point, job.seed).items():
            # Each needs its own -v: `-v x 8 y 8` makes x a list of three words.
            command += ["-v", name, value]
        command += ["-log", LOG, "-in", self.input.file, "-screen", "none"]
        start = self._start(job)
        if self.launcher.inside:
            return self.container.wrap(start + command, self.directory.path, self.directory.job(job))
        return start + self.container.wrap(command, self.directory.path, self.directory.job(job))

    def submit(self, job: SweepJob) -> list[str] | None:
        """The command line that hands the job's script to the batch system; None if it is run here."""
        directory = self.directory.job(job)
        return self.launcher.submit(directory / SCRIPT, job.name, directory / OUTPUT, self._resources(job))

    def epilogue(self, job: SweepJob) -> list[str] | None:
        """The command line that reports the job; None where its result is not to be learned."""
        if self.plan.mode != "train":
            return None
        command = [sys.executable, "-m", "lammps_jobs.epilogue", "--log", LOG, "--stream", self.plan.stream]
        command += ["--key", self.plan.key(job), "--receipt", RECEIPT]
        command += ["--source", f"input={self.plan.input}", "--source", f"job={job.name}"]
        return command + [f"{name}={value}" for name, value in self.plan.features(job).items()]

    def write(self, job: SweepJob) -> Path:
        """Make the job's directory, with links to its inputs and its script, which is returned."""
        directory = self.directory.job(job)
        directory.mkdir(parents=True, exist_ok=True)
        for name in self.input.files:
            link = directory / name
            if not link.is_symlink():
                # Relative, so that it holds in a container too, wherever the sweep's directory is mounted.
                link.symlink_to(os.path.relpath(self.directory.inputs / name, directory))
        (directory / LOG).unlink(missing_ok=True)
        script = directory / SCRIPT
        text = job_script(directory, self.lammps(job), self.epilogue(job), self.environment)
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
        return script

    def _start(self, job: SweepJob) -> list[str]:
        start = self.launcher.start(self._resources(job))
        if start[:1] == ["mpiexec"] and self.container.runtime == "none":
            # The MPI that this LAMMPS was built with, where it came with one.
            beside = Path(self.lmp).with_name("mpiexec")
            start[0] = str(beside) if beside.is_file() else start[0]
        return start

    def _resources(self, job: SweepJob) -> Resources:
        return Resources(self.nodes, job.point["processes"], self.limit)


def lammps_program(given: str | None, container: Container) -> str:
    """The LAMMPS program to run. Raises LammpsNotFound if there is none here and no container has it."""
    if container.runtime != "none":
        return given or "lmp"
    if given is None:
        return str(program("lmp"))
    found = shutil.which(given)
    if found is None:
        raise LammpsNotFound(f"{given} is no program (--lmp)")
    return found
