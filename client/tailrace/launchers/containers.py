"""`Container`: command lines that run a program in a container, for the container runtimes of clusters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RUNTIMES", "Container"]

RUNTIMES = ("none", "apptainer", "singularity", "podman", "charliecloud")


@dataclass(frozen=True)
class Container:
    """A container image, and the runtime that runs it.

    Parameters
    ----------
    runtime
        One of `RUNTIMES`. ``none`` runs without a container.
    image
        A ``.sif`` file for Apptainer and Singularity, a name for Podman, a directory for Charliecloud.
    """

    runtime: str = "none"
    image: str = ""

    @property
    def is_file(self) -> bool:
        """Whether the image is a file or directory on this machine. Otherwise the runtime has it or downloads it."""
        return self.runtime not in ("none", "podman") and "://" not in self.image

    def wrap(self, command: Sequence[str], sweep: Path, job: Path) -> list[str]:
        """Returns the command line that runs `command` in the image, in the directory `job`.

        The container mounts the directory `sweep`, which contains all files that a job reads and writes. Apptainer and
        Singularity usually mount the home directory, too.
        """
        if self.runtime == "none":
            return list(command)
        if self.runtime == "podman":
            # The job's files must belong to the user who runs it, whatever user the image declares.
            user = ["--user", "0:0"] if os.getuid() == 0 else ["--userns", "keep-id"]
            place = ["--volume", f"{sweep}:{sweep}", "--workdir", str(job)]
            more = ["--network", "none", "--env", "OMP_NUM_THREADS"]
            return ["podman", "run", "--rm", *user, *more, *place, self.image, *command]
        if self.runtime == "charliecloud":
            # Images of Charliecloud are read-only, so the mount point must be a directory that exists in the image.
            place = ["--bind", f"{sweep}:/mnt", "--cd", f"/mnt/{job.relative_to(sweep)}"]
            return ["ch-run", *place, self.image, "--", *command]
        return [self.runtime, "exec", "--pwd", str(job), "--bind", str(sweep), self.image, *command]
