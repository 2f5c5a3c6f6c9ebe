"""A place where sweeps are run as a user runs them, on a stream of its own of a real server."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.serving import ROOT, Server

PATIENCE = 180
TINY = ("--x", "1:2", "--y", "1:2", "--z", "1:3", "--steps", "10")
LOOP = re.compile(r"Loop time of (\S+) on (\d+) procs")


class Here:
    """A place where sweeps are run, on a stream of its own."""

    def __init__(self, path: Path, server: Server, stream: str) -> None:
        self.path = path
        self.server = server
        self.stream = stream
        own = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        self.environment = own | {
            "TAILRACE_URL": server.url,
            "TAILRACE_SPOOL": str(path / "spool"),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}",
        }

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lammps_jobs", "sweep", *options, "--stream", self.stream],
            cwd=self.path, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip

    def sweep(self, *options: str, code: int = 0) -> str:
        process = self.start(*options)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, said
        return said

    def observations(self) -> list[dict[str, Any]]:
        status, page = self.server.get(f"/api/v1/streams/{self.stream}/observations/?after=0")
        assert status == 200
        return page["observations"]

    def loop_times(self, sweep: str = "sweep-train") -> list[float]:
        """Read from the jobs' logs without the parser under test."""
        logs = sorted((self.path / sweep / "jobs").glob("*/log.lammps"))
        return [float(LOOP.search(log.read_text())[1]) for log in logs]


def model_of(stream: str, server: Server, name: str, recipe: str) -> None:
    assert server.post("/api/v1/models/", {"name": name, "stream": stream, "recipe": recipe})[0] == 201


def made(here: Here, name: str = "") -> str:
    """A stream with one model."""
    body = {"name": here.stream, "target": {"name": "loop_time", "unit": "s"}}
    assert here.server.post("/api/v1/streams/", body)[0] == 201
    model_of(here.stream, here.server, name or f"of-{here.stream}", "runtime")
    return name or f"of-{here.stream}"
