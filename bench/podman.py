"""Podman, for the row that starts containers and for the tests of the images."""

import functools
import os
import shutil
import subprocess

from bench.errors import BenchError
from bench.servers import ROOT

SERVER = "localhost/tailrace:latest"
SECONDS = 60


@functools.cache
def environment() -> dict[str, str]:
    """The variables to run podman with: this machine's own, or with our configuration where its own runs nothing.

    Raises
    ------
    BenchError
        If there is no podman or no image of the server, or if it runs under neither.
    """
    if shutil.which("podman") is None:
        raise BenchError("podman isn't installed: `apt-get install podman`, and `make image`")
    own = dict(os.environ)
    said = ""
    for variables in (own, own | {"CONTAINERS_CONF": str(ROOT / "images" / "containers.conf")}):
        done = _podman(variables, "run", "--rm", "--network", "none", SERVER, "true")
        if done.returncode == 0:
            return variables
        said = " ".join(done.stderr.split())[-500:]
    raise BenchError(f"podman doesn't run {SERVER} (`make image` builds it): {said}")


def podman(*arguments: str) -> str:
    """Run podman; what it prints.

    Raises
    ------
    BenchError
        With what it said, if it fails.
    """
    done = _podman(environment(), *arguments)
    if done.returncode:
        raise BenchError(
            f"podman {' '.join(arguments[:3])} … ended with {done.returncode}: {done.stderr.strip()[-500:]}"
        )
    return done.stdout.strip()


def _podman(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["podman", *arguments], env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS
    )
