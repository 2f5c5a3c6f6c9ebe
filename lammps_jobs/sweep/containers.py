"""How LAMMPS is run in a container, by any of the programs that clusters have for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RUNTIMES", "Container"]

RUNTIMES = ("none", "apptainer", "singularity", "podman", "charliecloud")


@dataclass(frozen=True)
class Container:
    """A container image and the program that runs it.

    Parameters
    ----------
    runtime
        One of `RUNTIMES`.
    image
        A ``.sif`` file for Apptainer and Singularity, a name for Podman, a directory for Charliecloud.
    """

    runtime: str = "none"
    image: str = ""

    @property
    def is_file(self) -> bool:
        """Whether the image is a file or a directory here, not something that the runtime fetches or has."""
        return self.runtime not in ("none", "podman") and "://" not in self.image

    def wrap(self, command: Sequence[str], sweep: Path, job: Path) -> list[str]:
        """The command line that runs `command` in the image, in the directory `job`.

        Of the host's files it sees the sweep's directory, which holds all that a job reads and writes (Apptainer and
        Singularity also show it the home directory, as sites set them up).
        """
        if self.runtime == "none":
            return list(command)
        if self.runtime == "podman":
            # The job's files must belong to whoever runs it, whichever user the image names.
            user = ["--user", "0:0"] if os.getuid() == 0 else ["--userns", "keep-id"]
            place = ["--volume", f"{sweep}:{sweep}", "--workdir", str(job)]
            more = ["--network", "none", "--env", "OMP_NUM_THREADS"]
            return ["podman", "run", "--rm", *user, *more, *place, self.image, *command]
        if self.runtime == "charliecloud":
            # Its images are read-only, and only a directory that they have can be mounted over.
            place = ["--bind", f"{sweep}:/mnt", "--cd", f"/mnt/{job.relative_to(sweep)}"]
            return ["ch-run", *place, self.image, "--", *command]
        return [self.runtime, "exec", "--pwd", str(job), "--bind", str(sweep), self.image, *command]
