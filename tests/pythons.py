"""The Pythons of this machine that the client and the epilogue are for."""

import os
import shutil
import subprocess
from pathlib import Path

VERSIONS = [f"3.{minor}" for minor in range(9, 14)]


def found(version):
    """A Python of that version, on the PATH or of pyenv's; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *map(str, sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)),
    ]
    for candidate in filter(None, candidates):
        said = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if said.stdout.strip() == version:
            return candidate
    return None


PYTHONS = {version: python for version in VERSIONS if (python := found(version)) is not None}
