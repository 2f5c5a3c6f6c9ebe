"""Small trainings in processes of their own, and what the spool of a test holds."""

import os
import subprocess
import sys
from pathlib import Path

from tests.client.running import environment

BEGIN = """
import os, signal, sys, time
from tailrace.tracking import ExperimentConfig, ExperimentTracker
backends, spool, uid = sys.argv[1].split(","), sys.argv[2], sys.argv[3] or None
tracker = ExperimentTracker.create(backends, ExperimentConfig(name="melts"), spool=spool)
"""


def train(program: str, spool: Path, *, uid: str = "", backends: str = "tailrace", **variables: str):
    """Run a program that tracks itself, to its end. It finds `tracker` and `uid`."""
    environ = environment(TAILRACE_TRACKING_HANDOVER="0", **variables)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGIN + program, backends, str(spool), uid],
        env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def new_uid() -> str:
    return os.urandom(16).hex()


def files(spool: Path, ending: str = ".lines") -> list[Path]:
    """The files of all runs."""
    return sorted((spool / "tracking").glob(f"*/*{ending}"))
