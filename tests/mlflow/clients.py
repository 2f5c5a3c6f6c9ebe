"""Real MLflows in environments of their own: clients of two versions, each with what its server needs.

They take seconds to install from a cache, a minute from the network, and 400 MB, once in ``var/mlflow-clients``.
"""

import contextlib
import fcntl
import os
import runpy
import subprocess
import sys
import threading
import time
import urllib.request
from importlib.metadata import version as installed
from pathlib import Path

from tests.serving import ROOT, free_port

REQUIREMENTS = Path(__file__).parent
VERSIONS = ("2.22", "3.17")
SAME = ("river", "numpy", "scipy")
"""Packages that mirrored models need in the versions of the server."""

PATIENCE = 120


def client(version: str) -> Path:
    """Return the Python of a client, which is installed on first use."""
    place = ROOT / "var" / "mlflow-clients"
    venv, python = place / version, place / version / "bin" / "python"
    wanted = (REQUIREMENTS / f"client-{version}.txt").read_text()
    wanted += "".join(f"{name}=={installed(name)}\n" for name in SAME)
    stamp = venv / "installed"
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            requirements = place / f"{version}.txt"
            requirements.write_text(wanted)
            helper = runpy.run_path(str(ROOT / "requirements" / "install.py"))
            environment = helper["environment"](helper["settings"]())
            uv = [sys.executable, "-m", "uv"]
            for command in (
                [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv],
                [*uv, "pip", "install", "--quiet", "--python", python, "--requirement", requirements],
            ):
                subprocess.run(command, check=True, env=environment)
            stamp.write_text(wanted)
    return python


class MLflowServer:
    """A real ``mlflow server`` with a database and artifacts in a folder, on a port of its own.

    Parameters
    ----------
    folder
        For its database, its artifacts and its output.
    """

    def __init__(self, folder: Path, version: str = "2.22") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._python = client(version)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "MLflowServer":
        """Start it, and wait until it answers."""
        command = [
            self._python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
        own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        own["PATH"] = f"{self._python.parent}{os.pathsep}{own.get('PATH', '')}"
        log = self.folder / "mlflow.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=self.folder, env=own, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return self
            threading.Event().wait(0.1)
        raise AssertionError(f"MLflow didn't start:\n{log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Stop it, as a power cut does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
