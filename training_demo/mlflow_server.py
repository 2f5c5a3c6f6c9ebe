"""`MLflowServer`: a real MLflow in an environment of its own, started on this machine and stopped at the end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import runpy
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from lammps_jobs.runs import processes
from lammps_jobs.runs.lammps_job import ROOT

__all__ = ["MLflowFailed", "MLflowServer", "install_mlflow"]

REQUIREMENTS = Path(__file__).parent / "mlflow-requirements.txt"
HOST = "127.0.0.1"
START_LIMIT = 400.0
PROGRESS_SECONDS = 10.0


class MLflowFailed(Exception):
    """MLflow could not be installed, or did not start. The message says why."""


def install_mlflow(venv: Path, say: Callable[[str], None]) -> Path:
    """Install MLflow into an environment of its own, unless it is there already, and return its command.

    Parameters
    ----------
    venv
        The environment.
    say
        Prints a line of progress.

    Raises
    ------
    MLflowFailed
        If it cannot be installed.
    """
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp, command = venv / "installed", venv / "bin" / "mlflow"
    if stamp.exists() and stamp.read_text() == wanted and command.exists():
        return command
    say("Installing MLflow into an environment of its own (about 850 MB, one to five minutes, once) …")
    helper = runpy.run_path(str(ROOT / "requirements" / "install.py"))
    environment = helper["environment"](helper["settings"]())
    uv = [sys.executable, "-m", "uv"]
    log = venv.with_name(f"{venv.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        for command_line in (
            [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
            [*uv, "pip", "install", "--python", str(venv / "bin" / "python"), "--requirement", str(REQUIREMENTS)],
        ):
            process = subprocess.Popen(command_line, stdout=output, stderr=output, env=environment)
            _watch(process, venv, say)
            if process.returncode:
                end = "\n  ".join(log.read_text(errors="replace").strip().splitlines()[-8:])
                raise MLflowFailed(f"MLflow can't be installed. The end of {log}:\n  {end}")
    stamp.write_text(wanted)
    return command


def _watch(process: subprocess.Popen[bytes], venv: Path, say: Callable[[str], None]) -> None:
    """Wait for a process, and say from time to time how much is there."""
    began = time.monotonic()
    try:
        while True:
            try:
                process.wait(PROGRESS_SECONDS)
                return
            except subprocess.TimeoutExpired:
                size = sum(file.stat().st_size for file in venv.rglob("*") if file.is_file() and not file.is_symlink())
                say(f"  {size / 1e6:.0f} MB after {time.monotonic() - began:.0f} s")
    except BaseException:
        process.kill()
        process.wait()
        raise


class MLflowServer:
    """An MLflow server with a database and artifacts in a folder. As a context manager, it starts it and stops it.

    Parameters
    ----------
    command
        The command ``mlflow``.
    folder
        For its database, its artifacts and its output.
    """

    def __init__(self, command: Path, folder: Path) -> None:
        self.log = folder / "mlflow.log"
        self.url = ""
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MLflowServer:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        command = [
            str(self._command), "server", "--host", HOST, "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}",
            "--artifacts-destination", str(self._folder / "mlflow-artifacts"),
        ]  # fmt: skip
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
        environment = own | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        with open(self.log, "ab") as output:
            self._process = processes.start(
                command, output, cwd=self._folder, environment=environment, end_with_parent=True
            )
        try:
            self._wait(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            processes.end(self._process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        ends = time.monotonic() + START_LIMIT
        while time.monotonic() < ends and process.poll() is None:
            with (
                contextlib.suppress(OSError, urllib.error.URLError),
                opener.open(f"{self.url}/health", timeout=5) as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.3)
        words = "\n  ".join(self.log.read_text(errors="replace").strip().splitlines()[-8:])
        raise MLflowFailed(f"MLflow does not answer at {self.url}. The end of {self.log}:\n  {words}")
